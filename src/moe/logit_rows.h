// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/router_spec.h"

namespace thermoe {

/// A tensor [samples, layers, tokens, experts] that claims to hold router logits, and where it came
/// from, for messages.
struct LogitRows {
  std::string path{};
  std::string tensor{};
  int samples = 0;
  int layers = 0;
  int tokens = 0;
  int experts = 0;
  std::vector<float> values{};

  std::span<const float> row(int sample, int layer, int token) const;
};

/// Every finite logit of the row is the same, as in a row that only fills up a batch: it prefers no
/// expert. Two finite logits at least.
bool is_constant(std::span<const float> row);

/// Throws FormatError, naming file, tensor and row or layer, for what cannot be logits: NaN or
/// +infinity; fewer than k finite logits (-infinity is probability 0); a layer whose rows, the
/// constant ones left aside, are all probabilities (>= 0 with sum 1) or the probabilities of chosen
/// experts (>= 0, mostly 0, with a sum of at most 1 or at most k values that are not 0); a layer of
/// constant rows only; rows that all are >= 0 with one sum, such as probabilities in percent; a row
/// where the score function, in float, is 0 for one of the k best logits, or tells none of them
/// from the next, far below.
void check_logit_rows(const LogitRows& rows, int k, ScoreFunction score);

/// Whether every value lies strictly between 0 and 1, constant rows left aside: as the scores of a
/// sigmoid do, and logits hardly ever.
bool look_like_scores(const LogitRows& rows);

}  // namespace thermoe
