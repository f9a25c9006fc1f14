// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/routing_plan.h"
#include "core/routing_stats.h"
#include "core/snapshot.h"
#include "core/step_metrics.h"
#include "core/targets.h"
#include "core/units.h"

namespace thermoe {

/// What the (simulated) hardware really did in a tick, as opposed to what its sensors said.
struct TrueHardware {
  Watts power{};     ///< mean of the tick
  Watts power_1s{};  ///< mean of the last second: what violations are counted on
  Celsius temperature{};
  Celsius memory_temperature{};
  double gpu_utilisation = 0.0;
  double memory_utilisation = 0.0;
  Megahertz sm_clock{};
  bool throttled = false;
};

/// What was done to the hardware from outside in a tick.
struct AppliedDisturbance {
  Watts background_power{};
  double bandwidth_share = 0.0;
  Celsius ambient_offset{};
  bool sensor_fault = false;
};

/// Quality of the tick's decoded bytes.
struct StepQuality {
  double bits_per_byte = 0.0;             ///< teacher-forced, mean over streams
  std::optional<double> baseline_bits{};  ///< of the same bytes under BASELINE
  std::optional<double>
      kl_to_baseline{};  ///< KL(baseline || this), nats a token, mean over streams
  std::optional<double> top1_agreement{};  ///< share of streams with BASELINE's most likely byte
};

/// Beliefs and acts of the controller in a tick.
struct ControlRecord {
  double lambda = 0.0;
  double bias_norm = 0.0;
  std::optional<Watts> predicted_power{}, power_residual{};
  std::optional<Celsius> predicted_temperature{}, temperature_residual{};
  std::optional<Seconds> predicted_step_time{}, step_time_residual{};
  double predicted_active = 0.0;
  double predicted_kept_mass = 1.0;
  bool at_floor = false;  ///< the target is out of reach of routing
  struct Losses {
    double total = 0.0, power = 0.0, temperature = 0.0, latency = 0.0, throughput = 0.0,
           quality = 0.0;
    double parameter_shift = 0.0;
    double learning_rate = 0.0;
  };
  std::optional<Losses> losses{};
  std::string fallback{};  ///< why the plan is BASELINE; empty while in control
};

/// One tick of one strategy. `stats`, `plan` and `sensed` are views, valid while the row is being
/// logged.
struct MetricsRow {
  std::string_view strategy{};
  bool simulated = true;  ///< the hardware of this row
  Seconds at{};           ///< end of the tick
  const Targets& targets;
  TrueHardware truth{};
  const GpuReading* sensed = nullptr;  ///< null where telemetry gave no GPU
  AppliedDisturbance disturbance{};
  StepMetrics step{};
  const RoutingStats& stats;
  const RoutingPlan* plan = nullptr;  ///< whose selection biases the tick ran under; null: none
  StepQuality quality{};
  ControlRecord control{};
  bool violation = false;  ///< the 1 s mean exceeds 1.05 x the target (power; else see docs)
};

}  // namespace thermoe
