// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "control/controller.h"
#include "control/safe_plan.h"
#include "core/plan_buffer.h"
#include "machine/machine.h"
#include "report/metrics_logger.h"
#include "report/strategy_recorder.h"
#include "run/baseline_reference.h"
#include "run/control_thread.h"
#include "run/experiment_inputs.h"
#include "run/progress.h"
#include "run/schedule.h"
#include "run/step_decoder.h"
#include "run/text_pieces.h"
#include "telemetry/gpu_system_monitor.h"

namespace thermoe {

/// The stages that one strategy's run wires together. All must outlive the run.
struct StrategyStages {
  const ExperimentInputs& inputs;
  const StepCost& costs;          ///< the controller's
  const BatchCosts* batch_costs;  ///< likewise, where requests arrive; else null
  StepDecoder& decoder;           ///< rewound at the start
  Controller& controller;
  const SafePlan& safe;  ///< runs where the controller's decision has outlived its time
  Machine& machine;      ///< as it was made: idle
  BaselineReference& reference;
  MetricsLogger& logger;
  Progress& progress;
  const std::atomic<bool>& stop;
  const std::function<void(const MetricsRow&)>& on_tick;  ///< may be empty
};

/// A strategy's turn: on a machine of its own, from idle.
class StrategyRun {
 public:
  StrategyRun(const Turn& turn, const StrategyStages& stages);

  /// Runs to the end. Nothing when `stop` was raised: the tick under way is finished and logged
  /// first.
  std::optional<StrategySummary> run();

 private:
  void warm_up();
  void begin_control();
  void decide();
  void look_in();
  bool outlived() const;
  void put_in_force(Decided decided);
  StepLoads decode(std::optional<int> sequences);
  StepQuality quality_of(const RoutedStep& step);
  PerturbationFactors factors_now(const Snapshot& snapshot) const;
  StepMetrics metrics_before_start() const;
  void log(const TickReport& tick, Seconds period, const GpuDisturbance& disturbance,
           const StepQuality& quality);
  void report(const TickReport& tick);
  std::string at_work(const TickReport& tick) const;
  std::optional<std::uint64_t> of_real_time(std::uint64_t count) const;
  Seconds now() const { return stages_.machine.clock().now(); }

  Strategy strategy_;
  std::string name_;  // of the turn
  StrategyStages stages_;
  const Experiment& experiment_;
  GpuSystemMonitor monitor_;
  PlanBuffer plans_;
  Decided newest_{};            // of the controller
  bool safe_in_force_ = false;  // in its place
  ControllerState control_{};   // behind the newest plan
  StrategyRecorder recorder_;
  TextPieces pieces_{};
  std::optional<RoutedStep> step_{};      // the newest
  StepMetrics metrics_{};                 // of the newest tick
  std::size_t decoded_ = 0;               // steps since time 0
  const RoutingPlan* plan_ = nullptr;     // of the newest
  std::vector<StepQuality> qualities_{};  // of the tick's steps
  std::vector<RoutingStats> ran_{};       // likewise
  int extrapolated_ticks_ = 0;
  double steps_ = 0.0, late_ = 0.0, repeated_ = 0.0;
  int late_decisions_ = 0;  // ticks that found the controller still busy
  std::uint64_t near_ties_ = 0;
  bool told_problem_ = false;  // of the machine's energy
  std::string fallback_{};
  std::optional<ControlThread> aside_{};  // last: where time does not wait for the controller
};

}  // namespace thermoe
