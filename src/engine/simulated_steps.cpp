// SPDX-License-Identifier: Apache-2.0
#include "engine/simulated_steps.h"

#include <algorithm>
#include <cmath>

#include "cost/whole_step.h"
#include "machine/simulated/plant_config.h"
#include "machine/simulated/simulated_source.h"
#include "machine/simulated/step_charge.h"

namespace thermoe {
namespace {

EngineConfig of_shape(EngineConfig config, const ExpertShape& shape) {
  config.shape = shape;
  return config;
}

SimulatedGpuConfig gpu_of(const TelemetryConfig& telemetry) {
  SimulatedGpuConfig gpu = read_plant(telemetry.plant);
  gpu.seed = telemetry.seed;
  return gpu;
}

/// As the engine measured it, where that agrees with how many steps there were: their number alone
/// is coarse, one of 6 or 7 a tick.
Seconds period_of(Seconds dt, const StepTotals& totals) {
  const auto steps = static_cast<double>(totals.steps);
  if (totals.periods == 0) return dt / steps;
  const Seconds told = totals.period / static_cast<double>(totals.periods);
  return std::clamp(told, dt / (steps + 1.0), dt / std::max(steps - 1.0, 0.5));
}

}  // namespace

SimulatedSteps::SimulatedSteps(const EngineConfig& config, const EngineCosts& costs)
    : plant_(of_shape(config, costs.shape()), config.telemetry.cost_model,
             config.telemetry.energy_scale),
      dtype_(config.dtype),
      plan_(config.control.layers, config.control.router.experts, config.control.router.k),
      gpu_(gpu_of(config.telemetry)) {
  const bool known = knows_others(costs.model(), costs.shape());
  if (known && !knows_others(plant_.model(), costs.shape())) {
    other_.emplace(config, config.cost_model, config.telemetry.energy_scale);
  }
}

std::unique_ptr<Source> SimulatedSteps::open_sensors() const {
  return std::make_unique<SimulatedSource>(gpu_);
}

Lookup SimulatedSteps::mean_charge(std::span<const LoggedLoads> loads, int rows) const {
  const PlantCharge charge{.costs = plant_.model(),
                           .shape = plant_.shape(),
                           .dtypes = {dtype_},
                           .layer_repeat = plant_.layer_repeat(),
                           .other = (other_ ? *other_ : plant_).other(rows)};
  Lookup mean;
  for (const LoggedLoads& step : loads) {
    const Lookup one = step_charge(charge, step.stats, plan_);
    mean.cost += (1.0 / static_cast<double>(loads.size())) * one.cost;
    mean.basis = weaker(mean.basis, one.basis);
  }
  return mean;
}

TickReport SimulatedSteps::run(Seconds dt, const StepTotals& totals,
                               std::span<const LoggedLoads> loads) {
  if (!loads.empty()) {
    const double rows = static_cast<double>(totals.rows) / static_cast<double>(totals.decoded);
    charge_ = mean_charge(loads, static_cast<int>(std::lround(rows)));
  }
  GpuWork work;
  if (totals.steps > 0) {
    work = {.step_time = charge_.cost.latency,
            .step_energy = charge_.cost.energy,
            .period = period_of(dt, totals)};
  }
  TickReport report = gpu_.advance(dt, work);
  report.basis = charge_.basis;
  return report;
}

}  // namespace thermoe
