// SPDX-License-Identifier: Apache-2.0
#include "moe/router_logits.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <limits>
#include <span>

#include "core/errors.h"
#include "moe/logit_rows.h"
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
    throw UsageError(
        fmt::format("{}: the file does not say how many experts each token takes; add the metadata "
                    "entry \"k\" or "
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

/// Whether the file says that the scores are a softmax. Throws FormatError if it says another.
bool tells_softmax(const SafetensorsFile& file) {
  const auto found = file.metadata().find("score_function");
  if (found == file.metadata().end()) return false;
  if (found->second == "softmax") return true;
  throw FormatError(
      file.path(), "__metadata__/score_function",
      fmt::format("\"{}\" is not supported; prices are in units of softmax shares, so "
                  "only \"softmax\" routers can be priced from logits",
                  found->second));
}

bool is_padding(const LogitRows& rows, int sample, int token) {
  for (int l = 0; l < rows.layers; ++l) {
    if (!is_constant(rows.row(sample, l, token))) return false;
  }
  return true;
}

std::int64_t constant_rows(const LogitRows& rows, int sample, int token) {
  std::int64_t n = 0;
  for (int l = 0; l < rows.layers; ++l) n += is_constant(rows.row(sample, l, token)) ? 1 : 0;
  return n;
}

/// One sample with these tokens only.
LogitSample sample_of(const LogitRows& rows, int sample, const std::vector<int>& tokens) {
  LogitSample result{
      .layers = rows.layers, .tokens = static_cast<int>(tokens.size()), .experts = rows.experts};
  for (int l = 0; l < rows.layers; ++l) {
    for (const int t : tokens) {
      const auto row = rows.row(sample, l, t);
      // Finite everywhere after this; exp() of its distance to the row's largest is 0 all the same.
      std::ranges::transform(row, std::back_inserter(result.logits), [](float x) {
        return std::max(x, std::numeric_limits<float>::lowest());
      });
    }
  }
  return result;
}

void add_samples(const LogitRows& rows, RouterLogits& result) {
  for (int s = 0; s < rows.samples; ++s) {
    std::vector<int> tokens;
    for (int t = 0; t < rows.tokens; ++t) {
      if (is_padding(rows, s, t)) {
        ++result.padding_tokens;
        continue;
      }
      tokens.push_back(t);
      result.constant_rows += constant_rows(rows, s, t);
    }
    if (!tokens.empty()) result.samples.push_back(sample_of(rows, s, tokens));
  }
}

}  // namespace

RouterLogits read_router_logits(const std::string& path, std::optional<int> k) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  const std::vector<std::int64_t> shape = shape_of(file);
  RouterLogits result{.k = k ? *k : metadata_k(file), .softmax_told = tells_softmax(file)};
  if (result.k < 1 || result.k > shape[3]) {
    throw UsageError(fmt::format("{}: k = {} does not lie in 1..{}, the number of experts", path,
                                 result.k, shape[3]));
  }
  const LogitRows rows{.path = path,
                       .tensor = kTensor,
                       .samples = static_cast<int>(shape[0]),
                       .layers = static_cast<int>(shape[1]),
                       .tokens = static_cast<int>(shape[2]),
                       .experts = static_cast<int>(shape[3]),
                       .values = file.values(kTensor, file.tensor(kTensor).shape)};
  check_logit_rows(rows, result.k);
  result.look_like_scores = look_like_scores(rows);
  add_samples(rows, result);
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
