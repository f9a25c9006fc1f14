// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/logit_sample.h"
#include "core/routing_plan.h"
#include "core/routing_stats.h"
#include "core/snapshot.h"
#include "core/step_cost.h"
#include "core/step_metrics.h"

namespace thermoe {

enum class Strategy { kBaseline, kStaticOptimal, kKernelAwareTtha, kReducedK };
/// BASELINE, STATIC_OPTIMAL, KERNEL_AWARE_TTHA, REDUCED_K.
std::string_view to_string(Strategy strategy);
std::optional<Strategy> strategy_from(std::string_view name);
/// All of them, in the order in which people list them.
std::vector<std::string> strategy_names();

/// All that a controller may see, once a control tick. Views: valid during the call.
struct Observation {
  Seconds now{};
  const Snapshot& snapshot;    ///< telemetry, with ages
  const RoutingStats& stats;   ///< loads of the tick's sampled step, under the plan then in force
  const LogitSample& sample;   ///< gate logits of that step
  const StepMetrics& metrics;  ///< times and counts of the tick
  const StepCost& costs;       ///< the controller's cost model (not the plant's)
};

/// Named numbers for the log: what the controller believed and did.
struct ControllerState {
  double lambda = 0.0;
  std::optional<Watts> predicted_power{};
  std::optional<Watts> power_residual{};
  std::optional<Celsius> predicted_temperature{};
  std::optional<Celsius> temperature_residual{};
  std::optional<Seconds> predicted_step_time{};
  std::optional<Seconds> step_time_residual{};
  double predicted_active = 0.0;     ///< mean distinct experts a layer
  double predicted_kept_mass = 1.0;  ///< on the sampled logits, under the new plan
  double bias_norm = 0.0;            ///< L2 norm of all selection biases
  bool saturated = false;            ///< the target is out of reach: the plan is at its floor
  /// TTHA's loss and its terms, absent where no adapter runs.
  struct Losses {
    double total = 0.0, power = 0.0, temperature = 0.0, latency = 0.0, throughput = 0.0,
           quality = 0.0;
    double parameter_shift = 0.0;  ///< L2 distance of the adapter's parameters from their start
    double learning_rate = 0.0;
  };
  std::optional<Losses> losses{};
  /// Why the plan is BASELINE although the strategy is not: empty while in control.
  std::string fallback{};
};

/// Turns observations into plans at 10 Hz. Costs quality of control when slow or wrong, never
/// tokens.
class Controller {
 public:
  virtual ~Controller() = default;
  /// The plan for the next tick.
  virtual RoutingPlan decide(const Observation& observation) = 0;
  /// Beliefs and acts of the last `decide`.
  virtual const ControllerState& state() const = 0;
};

}  // namespace thermoe
