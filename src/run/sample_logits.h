// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <vector>

#include "core/logit_sample.h"
#include "run/progress.h"
#include "run/step_decoder.h"

namespace thermoe {

/// Which decode steps are sampled.
struct LogitSampling {
  int warmup_steps = 32;  ///< decoded first and not sampled
  int samples = 64;
  int spacing = 4;  ///< steps between two samples: neighbours are alike
};

/// Decodes from the first step under BASELINE and keeps gate logits; fewer samples where `stop` was
/// raised.
std::vector<LogitSample> sample_logits(StepDecoder& decoder, const LogitSampling& sampling,
                                       Progress& progress, const std::atomic<bool>& stop);

}  // namespace thermoe
