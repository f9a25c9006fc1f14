// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <random>
#include <string>
#include <vector>

#include "core/routing_plan.h"
#include "core/routing_stats.h"
#include "core/units.h"
#include "cost/kernel_cost_model.h"
#include "machine/simulated_gpu.h"

namespace thermoe {

/// What the plant charges for a decode step of the shipped model.
struct PlantCharge {
  const KernelCostModel& costs;       ///< the plant's own, not the controller's
  ExpertShape shape{};                ///< `costed_as`
  std::vector<std::string> dtypes{};  ///< one a precision variant
  double layer_repeat = 1.0;          ///< charged layers a modelled layer stands for
};

/// Cost of one step with these loads: each layer looked up by its tokens and distinct experts; a
/// layer of mixed precision pays each precision's price for its share of the active experts.
/// The basis is the weakest of the lookups.
Lookup step_charge(const PlantCharge& charge, const RoutingStats& stats, const RoutingPlan& plan);

/// The simulated machine of an experiment: real routing decisions in, time, joules and heat out.
class Plant {
 public:
  /// `charge.costs` must outlive the plant. `period` 0 = saturated. `step_noise` >= 0: relative
  /// standard deviation of a tick's step time, drawn with the GPU's seed.
  Plant(const SimulatedGpuConfig& gpu, PlantCharge charge, Seconds period, double step_noise = 0.0);

  /// Runs a tick of steps that cost `step` each; with noise they take longer or shorter, for the
  /// same joules.
  TickOutcome advance(Seconds tick, const Cost& step, const GpuDisturbance& disturbance);
  const PlantCharge& charge() const { return charge_; }
  const SimulatedGpu& gpu() const { return gpu_; }

 private:
  SimulatedGpu gpu_;
  PlantCharge charge_;
  Seconds period_;
  double step_noise_;
  std::mt19937_64 random_;
  std::normal_distribution<double> normal_{0.0, 1.0};
};

}  // namespace thermoe
