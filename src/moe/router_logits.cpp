// SPDX-License-Identifier: Apache-2.0
#include "moe/router_logits.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <limits>
#include <map>
#include <span>
#include <string>

#include "core/errors.h"
#include "kernels/topk_route.h"
#include "moe/logit_rows.h"
#include "moe/safetensors.h"
#include "moe/stated_router.h"

namespace thermoe {
namespace {

constexpr const char* kTensor = "router_logits";

/// [samples, layers, tokens, experts] of the tensor.
std::vector<std::int64_t> shape_of(const SafetensorsFile& file) {
  std::vector<std::int64_t> shape = file.tensor(kTensor).shape;
  if (shape.size() == 3) shape.insert(shape.begin(), 1);
  const bool sound = shape.size() == 4 && std::all_of(shape.begin(), shape.end(), [](auto n) {
                       return n >= 1 && n <= std::numeric_limits<std::int32_t>::max();
                     });
  if (!sound || shape[3] > kMaxExperts) {
    throw FormatError(file.path(), kTensor,
                      fmt::format("has shape [{}]; it should be [samples, layers, tokens, experts] "
                                  "or [layers, tokens, experts], at most {} experts",
                                  fmt::join(file.tensor(kTensor).shape, ", "), kMaxExperts));
  }
  return shape;
}

/// Throws FormatError where the file tells another number of layers or experts than it holds.
void check_extent(const SafetensorsFile& file, const std::string& name, std::int64_t held) {
  const auto told = metadata_integer(file, name);
  if (!told || *told == held) return;
  throw FormatError(file.path(), "__metadata__/" + name,
                    fmt::format("tells {} {}, but {} holds {}; write both from one model", *told,
                                name, kTensor, held));
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
      result.logits.insert(result.logits.end(), row.begin(), row.end());
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

int token_count(const RouterLogits& logits) {
  int tokens = 0;
  for (const LogitSample& sample : logits.samples) tokens += sample.tokens;
  return tokens;
}

double mean_tokens(const RouterLogits& logits) {
  return static_cast<double>(token_count(logits)) / static_cast<double>(logits.samples.size());
}

RouterLogits read_router_logits(const std::string& path, const StatedRouter& given) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  const std::vector<std::int64_t> shape = shape_of(file);
  check_extent(file, "layers", shape[1]);
  check_extent(file, "experts", shape[3]);
  RouterLogits result{.told = stated_router(file)};
  const LogitRows rows{.path = path,
                       .tensor = kTensor,
                       .samples = static_cast<int>(shape[0]),
                       .layers = static_cast<int>(shape[1]),
                       .tokens = static_cast<int>(shape[2]),
                       .experts = static_cast<int>(shape[3]),
                       .values = file.values(kTensor, file.tensor(kTensor).shape)};
  result.spec = router_spec_of(file, rows.layers, rows.experts, result.told, given);
  check_logit_rows(rows, result.spec.k, result.spec.score);
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
                   "router logits of different shapes do not fit in one tensor");
    values.insert(values.end(), sample.logits.begin(), sample.logits.end());
  }
  const RouterSpec& spec = logits.spec;
  THERMOE_EXPECT(spec.experts == first.experts && !find_problem(spec, first.layers),
                 "{} experts, top-{}, is no router of these {} layers of {} experts", spec.experts,
                 spec.k, first.layers, first.experts);
  std::vector<TensorView> tensors = {
      {.name = kTensor,
       .dtype = "F32",
       .shape = {std::ssize(logits.samples), first.layers, first.tokens, first.experts},
       .data = std::as_bytes(std::span(values))}};
  if (!spec.selection_bias.empty()) {
    tensors.push_back({.name = "selection_bias",
                       .dtype = "F32",
                       .shape = {first.layers, first.experts},
                       .data = std::as_bytes(std::span(spec.selection_bias))});
  }
  std::map<std::string, std::string> metadata = router_metadata(spec);
  metadata["layers"] = std::to_string(first.layers);
  metadata["experts"] = std::to_string(first.experts);
  write_safetensors(path, tensors, metadata);
}

}  // namespace thermoe
