// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "control/controller.h"
#include "control/utilities.h"
#include "engine/engine_config.h"
#include "engine/engine_costs.h"
#include "engine/engine_metrics.h"
#include "engine/engine_state.h"
#include "engine/hand_over.h"
#include "engine/simulated_steps.h"
#include "engine/step_log.h"
#include "telemetry/gpu_system_monitor.h"

namespace thermoe {

using MakeController = std::function<std::unique_ptr<Controller>(const ControllerConfig&)>;

/// What a controller of an engine does ten times a second: takes in what ran and what the sensors
/// say, decides, hands over. All but `state` is for one thread. The parts that it is given outlive
/// it.
class ControlLoop {
 public:
  struct Parts {
    const EngineConfig& config;
    EngineCosts& costs;
    SimulatedSteps* simulated = nullptr;  ///< runs the steps, where the GPU is simulated
    GpuSystemMonitor& monitor;
    bool polls = false;  ///< the monitor has no thread of its own
    StepLog& steps;
    HandOver& hand_over;
    MakeController make_controller{};
    EngineMetrics* metrics = nullptr;  ///< told of each tick, where there are any
  };
  /// Throws UsageError for what the cost model shows to be impossible.
  explicit ControlLoop(Parts parts);

  /// One tick, that ends at `now`, later than the one before.
  void tick(Seconds now);
  /// No further tick will come, and why.
  void end(const std::string& reason);
  /// Any thread.
  EngineState state() const;

 private:
  using Sample = std::shared_ptr<const Utilities>;

  void learn(LoggedSample sample);
  void judge_quality(LoggedLoads& ran, const Sample& sample) const;
  void begin_control();
  std::vector<LogitSample> calibration_batches();
  StepMetrics metrics_of(Seconds now, Seconds dt, const StepTotals& totals,
                         const std::optional<TickReport>& simulated) const;
  void decide(Seconds now, const StepMetrics& metrics, const Snapshot& snapshot);
  std::vector<std::uint8_t> mask_of(const RoutingPlan& plan) const;
  void say(const std::function<void(EngineState&)>& change);

  Parts parts_;
  ControllerConfig config_;                   // what the loaded cost model fills in is there
  std::unique_ptr<Controller> controller_{};  // once the router has been seen
  std::shared_ptr<const PlanAndMask> safe_{};
  Seconds safe_period_{};
  Seconds last_{};
  std::vector<LogitSample> calibration_{};
  double decoded_ = 0.0;                  // tokens, until control begins,
  Seconds decoded_for_{};                 // in the ticks in which there were any
  std::deque<Sample> recent_{};           // for masks
  std::optional<LoggedSample> newest_{};  // with its quality
  std::optional<double> kept_mass_{};     // of that sample, where the engine told no loss
  std::vector<LoggedLoads> loads_{};      // of the tick
  std::vector<RoutingStats> ran_{};       // likewise
  int rows_ = 1;                          // of the newest steps, mean
  bool idle_ = true;                      // no decode step ran in the tick
  std::deque<std::pair<std::uint64_t, PlanAndMask>> handed_{};  // the latest, by version
  mutable std::mutex mutex_;
  EngineState state_{};
};

}  // namespace thermoe
