// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "core/step_cost.h"
#include "core/units.h"

namespace thermoe {

/// Leakage grows with temperature: energy * (1 + energy_per_c * (T - reference)).
struct ThermalPerturbation {
  Celsius reference{};
  double energy_per_c = 0.0;  ///< relative, per degree
  bool operator==(const ThermalPerturbation&) const = default;
};

/// Near the power limit the clocks fall: latency * (1 + slope * max(0, P / limit - knee)).
struct PowerPerturbation {
  Watts limit{};
  double knee = 1.0;   ///< share of the limit at which clocks start to fall
  double slope = 0.0;  ///< relative slowdown per unit share of the limit
  bool operator==(const PowerPerturbation&) const = default;
};

/// Multipliers of a cost. They depend on the load through temperature and power, so callers freeze
/// them at the measured state: as functions of the load they would make the problem non-convex
/// (docs/theory.md, "Traps").
struct PerturbationFactors {
  double latency = 1.0;
  double energy = 1.0;

  Cost apply(const Cost& c) const {
    return {latency * c.latency, energy * c.energy, energy * c.heat};
  }
  /// The whole step's costs with the factors applied.
  StepCost apply(const StepCost& step) const;
};

struct Perturbation {
  std::optional<ThermalPerturbation> thermal{};
  std::optional<PowerPerturbation> power{};
  bool operator==(const Perturbation&) const = default;

  /// Factors at the measured state; what was not measured or has no model changes nothing. The
  /// energy factor is at least 0.1, so that no reading can turn a cost around.
  PerturbationFactors factors(std::optional<Celsius> temperature,
                              std::optional<Watts> measured) const;
};

}  // namespace thermoe
