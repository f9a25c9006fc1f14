// SPDX-License-Identifier: Apache-2.0
#include "moe/router_logits.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <limits>
#include <span>

#include "core/errors.h"
#include "moe/safetensors.h"

namespace thermoe {
namespace {

constexpr const char* kTensor = "router_logits";
constexpr std::int64_t kMostExperts = 1024;  // of a layer, as topk_route

/// [samples, layers, tokens, experts] of the tensor.
std::vector<std::int64_t> shape_of(const SafetensorsFile& file) {
  std::vector<std::int64_t> shape = file.tensor(kTensor).shape;
  if (shape.size() == 3) shape.insert(shape.begin(), 1);
  const bool sound = shape.size() == 4 && std::all_of(shape.begin(), shape.end(), [](auto n) {
                       return n >= 1 && n <= std::numeric_limits<std::int32_t>::max();
                     });
  if (!sound || shape[3] > kMostExperts) {
    throw FormatError(file.path(), kTensor,
                      fmt::format("has shape [{}]; it should be [samples, layers, tokens, experts] "
                                  "or [layers, tokens, experts], at most {} experts",
                                  fmt::join(file.tensor(kTensor).shape, ", "), kMostExperts));
  }
  return shape;
}

int metadata_k(const SafetensorsFile& file) {
  const auto found = file.metadata().find("k");
  if (found == file.metadata().end()) {
    throw UsageError(fmt::format(
        "{}: the file does not say how many experts a token takes; add the metadata entry \"k\" or "
        "give --k",
        file.path()));
  }
  int k = 0;
  const std::string& text = found->second;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), k);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw FormatError(file.path(), "__metadata__/k",
                      fmt::format("\"{}\" is not a whole number", text));
  }
  return k;
}

void check_score_function(const SafetensorsFile& file) {
  const auto found = file.metadata().find("score_function");
  if (found == file.metadata().end() || found->second == "softmax") return;
  throw FormatError(
      file.path(), "__metadata__/score_function",
      fmt::format("\"{}\" is not supported; prices are in units of softmax shares, so "
                  "only \"softmax\" routers can be priced from logits",
                  found->second));
}

}  // namespace

RouterLogits read_router_logits(const std::string& path, std::optional<int> k) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  const std::vector<std::int64_t> shape = shape_of(file);
  check_score_function(file);
  RouterLogits result{.k = k ? *k : metadata_k(file)};
  if (result.k < 1 || result.k > shape[3]) {
    throw UsageError(fmt::format("{}: k = {} does not lie in 1..{}, the number of experts", path,
                                 result.k, shape[3]));
  }
  const std::vector<float> values = file.floats(kTensor, file.tensor(kTensor).shape);
  const auto size = static_cast<std::size_t>(shape[1] * shape[2] * shape[3]);
  for (std::size_t first = 0; first < values.size(); first += size) {
    const auto part = std::span(values).subspan(first, size);
    result.samples.push_back({.layers = static_cast<int>(shape[1]),
                              .tokens = static_cast<int>(shape[2]),
                              .experts = static_cast<int>(shape[3]),
                              .logits = {part.begin(), part.end()}});
  }
  return result;
}

void write_router_logits(const std::string& path, const RouterLogits& logits) {
  THERMOE_EXPECT(!logits.samples.empty(), "there are no router logits to write");
  const LogitSample& first = logits.samples.front();
  std::vector<float> values;
  for (const LogitSample& sample : logits.samples) {
    THERMOE_EXPECT(sample.layers == first.layers && sample.tokens == first.tokens &&
                       sample.experts == first.experts &&
                       sample.logits.size() == first.logits.size(),
                   "router logits of different shapes do not fit in {}", "one tensor");
    values.insert(values.end(), sample.logits.begin(), sample.logits.end());
  }
  const TensorView tensor{.name = kTensor,
                          .dtype = "F32",
                          .shape = {static_cast<std::int64_t>(logits.samples.size()), first.layers,
                                    first.tokens, first.experts},
                          .data = std::as_bytes(std::span(values))};
  write_safetensors(path, {&tensor, 1},
                    {{"k", std::to_string(logits.k)}, {"score_function", "softmax"}});
}

}  // namespace thermoe
