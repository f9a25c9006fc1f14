// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/batch_costs.h"
#include "core/controller_state.h"
#include "core/logit_sample.h"
#include "core/routing_plan.h"
#include "core/routing_stats.h"
#include "core/snapshot.h"
#include "core/step_cost.h"
#include "core/step_metrics.h"

namespace thermoe {

enum class Strategy {
  kBaseline,
  kStaticOptimal,
  kKernelAwareTtha,
  kReducedK,
  kOpportunistic,
  // Of engines whose requests arrive: one of KERNEL_AWARE_TTHA's two levers alone, and BASELINE on
  // an engine that may take more sequences.
  kPriceAlone,
  kPacingAlone,
  kLargerBatch,
};
/// BASELINE, STATIC_OPTIMAL, KERNEL_AWARE_TTHA, REDUCED_K, OPPORTUNISTIC, PRICE_ALONE,
/// PACING_ALONE, LARGER_BATCH.
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
  /// Loads of all steps that were sampled in the tick, `stats` among them; empty: of that one only.
  std::span<const RoutingStats> ran{};
  /// The same cost model at other numbers of rows, where requests arrive; else null.
  const BatchCosts* batch_costs = nullptr;
};

/// What a controller decides for the time ahead. The plan goes to the data plane, the rest stays on
/// the host.
struct Decision {
  RoutingPlan plan{};
  Seconds step_period{};  ///< shortest time from one step's start to the next; 0: the next at once
  /// From then on a safe plan runs, unless there is a newer decision. Absent: the plan listens to
  /// nothing and cannot grow old.
  std::optional<Seconds> valid_until{};
};

/// As a sentence calls it: "the calibrated static plan", "BASELINE".
std::string_view to_string(PlanKind kind);

/// Turns observations into plans at 10 Hz. Costs quality of control when slow or wrong, never
/// tokens.
class Controller {
 public:
  virtual ~Controller() = default;
  /// The decision for the next tick. One that is late repeats its last.
  virtual Decision decide(const Observation& observation) = 0;
  /// Beliefs and acts of the last `decide`.
  virtual const ControllerState& state() const = 0;
};

}  // namespace thermoe
