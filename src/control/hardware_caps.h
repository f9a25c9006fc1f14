// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "control/shadow_prices.h"
#include "core/step_cost.h"
#include "core/targets.h"
#include "core/thermal_model.h"
#include "core/units.h"

namespace thermoe {

/// Over which loads a cost curve is taken as convex.
enum class CurveRange {
  kProfiled,    ///< from one token on: exact where every expert has work, an upper bound elsewhere
  kFromOrigin,  ///< from (0, 0): the jump at the first token is smeared over all, a lower bound
};

/// A decode step's costs at a fixed token rate, and what they may be.
struct HardwareSetting {
  StepCost costs{};
  int layers = 0, experts = 0;
  std::vector<std::uint8_t> variant{};  ///< [layers, experts] precision; empty: all 0
  /// Experts are equal consecutive runs on so many like devices; a layer ends with its slowest.
  int devices = 1;
  CurveRange range = CurveRange::kProfiled;
  int steps = 1;     ///< that the batch of the problem holds: loads are theirs together
  Seconds period{};  ///< of a step; a power or temperature target needs one
  std::optional<FirstOrderThermal> thermal{};
  /// What a step costs beyond the envelopes of its loads, as far as it is known: residual_r of eq.
  /// (2), of each device (or none) and of the step.
  std::vector<Joules> energy_residual{};
  Seconds latency_residual{};
  Targets targets{};  ///< power and temperature of each device
};

/// What routing would have to hold, as (P) has it, of each device.
struct HardwareCap {
  std::string name{};  ///< energy, step_time
  int device = 0;
};
struct HardwareCaps {
  std::vector<HardwareCap> names{};         ///< of the resources
  std::vector<CappedResource> resources{};  ///< joules and seconds a step
};

/// Curves are the lower convex envelopes over the range: affine where a curve has two points. Power
/// and temperature in steady state are the same joules, so that the tighter of the two is the cap;
/// with either a step may not take longer than its period. Throws UsageError for a cap below idle,
/// or one that needs what the setting lacks.
HardwareCaps hardware_caps(const HardwareSetting& setting);

/// What loads [layers, experts] of a step cost.
struct PredictedStep {
  Seconds latency{};                   ///< layer by layer, the slowest device's
  std::vector<Joules> energy{};        ///< [devices]
  std::vector<Watts> power{};          ///< [devices] at the period, or as fast as steps go
  std::vector<Celsius> temperature{};  ///< [devices] steady; empty without a thermal model
};
/// By the curves themselves, jumps at the first token included, or by their envelopes.
enum class CostShape { kAsProfiled, kEnvelope };
PredictedStep predict(const HardwareSetting& setting, std::span<const double> loads,
                      CostShape shape);
/// Sets the residuals so that these loads cost by their envelopes what they do by their curves.
void set_residuals(HardwareSetting& setting, std::span<const double> loads);

}  // namespace thermoe
