// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/logit_sample.h"

namespace thermoe {

/// Gate logits of sampled decode steps of one model, and how many experts its tokens take.
struct RouterLogits {
  std::vector<LogitSample> samples{};  ///< at least one, alike but for the number of tokens
  int k = 0;
  bool softmax_told = false;  ///< by the file; otherwise the score function is assumed
  /// Tokens whose rows were constant in every layer. They fill up a batch, so they were taken out
  /// of their samples: `samples` holds the others.
  std::int64_t padding_tokens = 0;
  /// Constant rows of tokens that other layers do route: they count as any row.
  std::int64_t constant_rows = 0;
  bool look_like_scores = false;  ///< all within (0, 1): a sigmoid's?
};

/// Reads a safetensors file with a tensor `router_logits` [samples, layers, tokens, experts] (or
/// [layers, tokens, experts]: one sample), F32, BF16, F16 or F64, before softmax. k is `k` if
/// given, else the metadata entry "k". Metadata "score_function", where there is one, must be
/// "softmax": prices are in units of softmax shares. A logit of -infinity becomes the lowest float,
/// whose probability is 0. Throws FormatError naming file and tensor, also for what cannot be
/// logits (moe/logit_rows.h); UsageError where k is not known.
RouterLogits read_router_logits(const std::string& path, std::optional<int> k = {});

/// Writes what `read_router_logits` reads, as f32, atomically. Throws WriteError.
void write_router_logits(const std::string& path, const RouterLogits& logits);

}  // namespace thermoe
