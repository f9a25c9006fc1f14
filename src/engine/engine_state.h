// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/controller_state.h"
#include "core/snapshot.h"
#include "core/step_metrics.h"
#include "core/units.h"
#include "engine/step_log.h"

namespace thermoe {

/// What a controller service knows after a tick: for whoever shows or exports it.
struct EngineState {
  std::uint64_t ticks = 0;               ///< decisions so far
  StepTotals steps{};                    ///< of all steps so far
  ControllerState control{};             ///< behind the newest decision
  Seconds step_period{};                 ///< that it asks for
  Snapshot snapshot{};                   ///< sensors, as the controller saw them
  std::optional<StepMetrics> metrics{};  ///< of the tick; absent where no decode step ran
  // Of the tick's counted steps; absent where none was:
  std::vector<int> active_by_layer{};      ///< distinct experts of the newest one
  std::optional<double> active_experts{};  ///< mean of a layer, of all of them
  // Of the newest sample, as it was routed:
  std::optional<double> quality_loss{};  ///< nats
  std::optional<double> kept_mass{};     ///< share of the tokens' own top-k mass
};

}  // namespace thermoe
