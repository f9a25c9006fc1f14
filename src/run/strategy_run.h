// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <optional>
#include <string>

#include "control/controller.h"
#include "core/clock.h"
#include "core/plan_buffer.h"
#include "machine/plant.h"
#include "report/metrics_logger.h"
#include "report/strategy_recorder.h"
#include "run/baseline_reference.h"
#include "run/experiment_inputs.h"
#include "run/progress.h"
#include "run/step_decoder.h"
#include "run/text_pieces.h"
#include "telemetry/gpu_system_monitor.h"

namespace thermoe {

/// The stages that one strategy's run wires together. All must outlive the run.
struct StrategyStages {
  const ExperimentInputs& inputs;
  const StepCost& costs;  ///< the controller's
  StepDecoder& decoder;   ///< rewound at the start
  Controller& controller;
  BaselineReference& reference;
  MetricsLogger& logger;
  Progress& progress;
  const std::atomic<bool>& stop;
};

/// One strategy on its own simulated machine, from idle, on virtual time.
class StrategyRun {
 public:
  StrategyRun(Strategy strategy, const StrategyStages& stages);

  /// Runs to the end. Nothing when `stop` was raised: the tick under way is finished and logged
  /// first.
  std::optional<StrategySummary> run();

 private:
  struct Decoded {
    Lookup charge{};  ///< of a step, on the plant
    StepQuality quality{};
  };

  void warm_up();
  Decoded decode(const RoutingPlan& plan);
  StepQuality quality_of(const RoutedStep& step);
  StepCost costs_now(const Snapshot& snapshot) const;
  StepMetrics metrics_before_start() const;
  void log(const Decoded& decoded, const RoutingPlan& plan, const TickOutcome& outcome,
           const GpuDisturbance& disturbance, const Snapshot& snapshot);
  void report(const TickOutcome& outcome);

  Strategy strategy_;
  StrategyStages stages_;
  const Experiment& experiment_;
  VirtualClock clock_{};
  Plant plant_;
  GpuSystemMonitor monitor_;
  PlanBuffer plans_;
  StrategyRecorder recorder_;
  TextPieces pieces_{};
  std::optional<RoutedStep> step_{};  // the newest
  StepMetrics metrics_{};             // of the newest tick
  std::size_t decoded_ = 0;           // steps since time 0
  int extrapolated_ticks_ = 0;
  std::string fallback_{};
};

/// How many charged layers each layer of the model stands for.
double layer_repeat(const ExperimentInputs& inputs, const RoutingPlan& plan);

}  // namespace thermoe
