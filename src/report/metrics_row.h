// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "core/controller_state.h"
#include "core/gpu_disturbance.h"
#include "core/routing_plan.h"
#include "core/routing_stats.h"
#include "core/snapshot.h"
#include "core/step_metrics.h"
#include "core/targets.h"
#include "core/tick_report.h"
#include "core/units.h"

namespace thermoe {

/// Quality of the tick's decoded bytes; all absent where none were, as with a recorded router.
struct StepQuality {
  std::optional<double> bits_per_byte{};  ///< teacher-forced, mean over streams
  std::optional<double> baseline_bits{};  ///< of the same bytes under BASELINE
  std::optional<double>
      kl_to_baseline{};  ///< KL(baseline || this), nats a token, mean over streams
  std::optional<double> top1_agreement{};  ///< share of streams with BASELINE's most likely byte
};

/// One tick of one strategy. `stats`, `plan` and `sensed` are views, valid while the row is being
/// logged.
struct MetricsRow {
  std::string_view strategy{};
  bool simulated = true;  ///< the hardware of this row
  Seconds at{};           ///< end of the tick
  const Targets& targets;
  TrueHardware truth{};             ///< what the hardware did, as opposed to what its sensors said
  std::optional<Watts> power_1s{};  ///< mean of `truth`'s power over the last second
  const GpuReading* sensed = nullptr;  ///< null where telemetry gave no GPU
  GpuDisturbance disturbance{};
  bool sensor_fault = false;
  StepMetrics step{};
  std::optional<Seconds> period{};            ///< shortest from step to step; where requests arrive
  std::optional<std::uint64_t> late_steps{};  ///< of a machine in real time, as TickReport has
  std::optional<std::uint64_t> repeated_steps{};  ///< them
  bool routed = true;  ///< false: no step ran in the tick, and `stats` are of one before
  const RoutingStats& stats;
  const RoutingPlan* plan = nullptr;  ///< whose selection biases the tick ran under; null: none
  StepQuality quality{};
  ControllerState control{};
  bool violation = false;  ///< the 1 s mean of a target's true value exceeds its `upper_limit`
};

}  // namespace thermoe
