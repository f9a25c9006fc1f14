// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/logit_sample.h"
#include "core/router_spec.h"
#include "moe/stated_router.h"

namespace thermoe {

/// Gate logits of sampled decode steps of one model, and how its router picks by them.
struct RouterLogits {
  std::vector<LogitSample> samples{};  ///< at least one, alike but for the number of tokens
  RouterSpec spec{};
  StatedRouter told{};  ///< by the file; what it does not tell of `spec` was given, or is assumed
  /// Tokens whose rows were constant in every layer. They fill up a batch, so they were taken out
  /// of their samples: `samples` holds the others.
  std::int64_t padding_tokens = 0;
  /// Constant rows of tokens that other layers do route: they count as any row.
  std::int64_t constant_rows = 0;
  bool look_like_scores = false;  ///< all within (0, 1): a sigmoid's?
};

/// Tokens of all samples together.
int token_count(const RouterLogits& logits);
/// Of a step, the mean over samples: padding may have been taken out of some.
double mean_tokens(const RouterLogits& logits);

/// Reads a safetensors file with a tensor `router_logits` [samples, layers, tokens, experts] (or
/// [layers, tokens, experts]: one sample), before the score function, and perhaps `selection_bias`
/// [layers, experts], the beta of core/router_spec.h; each F32, BF16, F16 or F64. The metadata tell
/// the router (moe/stated_router.h; k at least, unless `given`), and `layers` and `experts`, which
/// must be those of the tensor. What is `given` wins over what the file tells. A logit of -infinity
/// is a score of 0. Throws FormatError naming file, key, value and remedy, also for what cannot be
/// logits (moe/logit_rows.h); UsageError for what is given, and where k is not known.
RouterLogits read_router_logits(const std::string& path, const StatedRouter& given = {});

/// Writes what `read_router_logits` reads, all of `spec` but the choice of losses, as f32,
/// atomically. Requires samples alike that fit `spec`. Throws WriteError.
void write_router_logits(const std::string& path, const RouterLogits& logits);

}  // namespace thermoe
