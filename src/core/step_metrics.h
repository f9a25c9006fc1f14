// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "core/serving.h"
#include "core/units.h"

namespace thermoe {

/// What the data plane measured about the decode steps of one control tick. These are times and
/// counts that any serving program has without a sensor; power and temperature come from telemetry.
struct StepMetrics {
  Seconds at{};           ///< end of the tick
  Seconds tick{};         ///< length of the tick
  Seconds step_time{};    ///< mean duration of a decode step
  Seconds step_period{};  ///< mean time from one step's start to the next
  double steps = 0.0;     ///< steps in the tick (fractional where a step spans two ticks)
  double tokens = 0.0;    ///< tokens decoded in the tick
  std::optional<ServingTick> serving{};    ///< where requests arrive
  std::optional<double> kl_to_baseline{};  ///< nats a token, where a baseline pass was sampled
};

}  // namespace thermoe
