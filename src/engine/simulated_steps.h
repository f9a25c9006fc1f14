// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <span>

#include "core/routing_plan.h"
#include "core/tick_report.h"
#include "engine/engine_costs.h"
#include "engine/step_log.h"
#include "machine/simulated/simulated_gpu.h"
#include "telemetry/source.h"

namespace thermoe {

/// A simulated GPU that runs the steps that an engine tells of: for trying an engine's side without
/// a GPU. Loads are the engine's own; time, watts and degrees are made up, by a cost model that is
/// not the controller's. Mixed steps are charged as decode steps of their loads.
class SimulatedSteps {
 public:
  /// `costs` of the controller; the GPU has its own, but for what its file does not know beside the
  /// expert layers. Throws FormatError or UsageError.
  SimulatedSteps(const EngineConfig& config, const EngineCosts& costs);

  std::unique_ptr<Source> open_sensors() const;
  /// Lets `dt` > 0 pass, in which these steps ran; `loads` stand for all of them.
  TickReport run(Seconds dt, const StepTotals& totals, std::span<const LoggedLoads> loads);

 private:
  Lookup mean_charge(std::span<const LoggedLoads> loads, int rows) const;

  EngineCosts plant_;
  std::string dtype_;
  RoutingPlan plan_;  ///< of one precision
  std::optional<EngineCosts> other_{};
  SimulatedGpu gpu_;
  Lookup charge_{};  ///< of the newest steps that were counted
};

}  // namespace thermoe
