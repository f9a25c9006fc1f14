// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/logit_sample.h"

namespace thermoe {

/// Gate logits of sampled decode steps of one model, and how many experts its tokens take.
struct RouterLogits {
  std::vector<LogitSample> samples{};  ///< at least one, all of one shape
  int k = 0;
};

/// Reads a safetensors file with a tensor `router_logits` [samples, layers, tokens, experts] (or
/// [layers, tokens, experts]: one sample), f32, bf16 or f16, before softmax. k is `k` if given,
/// else the metadata entry "k". Metadata "score_function", where there is one, must be "softmax":
/// prices are in units of softmax shares. Throws FormatError naming file and tensor; UsageError
/// where k is not known.
RouterLogits read_router_logits(const std::string& path, std::optional<int> k = {});

/// Writes what `read_router_logits` reads, as f32, atomically. Throws WriteError.
void write_router_logits(const std::string& path, const RouterLogits& logits);

}  // namespace thermoe
