// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include "core/router_spec.h"

namespace thermoe {

/// p of a gate logit x in float, one at a time; of the softmax, up to the row's sum. `most`: the
/// row's largest logit. Never falls with x. (The kernels have their own, on vectors.)
inline float score_of(ScoreFunction score, float x, float most) {
  switch (score) {
    case ScoreFunction::kSoftmax:
      return std::exp(x - most);
    case ScoreFunction::kSigmoid:
      return 1.0F / (1.0F + std::exp(-x));
    case ScoreFunction::kSqrtSoftplus:
      break;
  }
  return std::sqrt(x > 20.0F ? x : std::log1p(std::exp(x)));  // beyond 20 they are the same float
}

}  // namespace thermoe
