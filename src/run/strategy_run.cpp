// SPDX-License-Identifier: Apache-2.0
#include "run/strategy_run.h"

#include <algorithm>
#include <cmath>

#include "core/errors.h"
#include "machine/faulty_source.h"
#include "machine/simulated_source.h"

namespace thermoe {
namespace {

std::unique_ptr<Source> sensors(const Plant& plant, const std::vector<Disturbance>& disturbances) {
  auto source = std::make_unique<SimulatedSource>(plant.gpu());
  std::vector<SensorFault> faults = sensor_faults(disturbances);
  if (faults.empty()) return source;
  return std::make_unique<FaultySource>(std::move(source), std::move(faults));
}

RecorderOptions recorder_options(Strategy strategy, const Experiment& experiment,
                                 const RoutingPlan& plan) {
  RecorderOptions options{.name = std::string(to_string(strategy)),
                          .summary = {.targets = experiment.targets,
                                      .tick = experiment.tick,
                                      .disturbed_at = Seconds(0)},
                          .layers = plan.layers(),
                          .experts = plan.experts()};
  if (const auto first = first_disturbance(experiment.disturbances)) {
    options.summary.disturbed_at = first->from;
    options.summary.disturbed_until = first->to;
  }
  return options;
}

/// Adds a step's value to the mean over those steps that have one.
void add_to_mean(std::optional<double>& mean, const std::optional<double>& value, double share) {
  if (value) mean = mean.value_or(0.0) + share * *value;
}

/// Mean over a tick's steps; KL and agreement over those that were sampled.
StepQuality mean_quality(const std::vector<StepQuality>& steps) {
  StepQuality mean;
  const auto sampled =
      static_cast<double>(std::count_if(steps.begin(), steps.end(), [](const StepQuality& q) {
        return q.kl_to_baseline.has_value();
      }));
  const double share = 1.0 / static_cast<double>(steps.size());
  for (const StepQuality& q : steps) {
    add_to_mean(mean.bits_per_byte, q.bits_per_byte, share);
    add_to_mean(mean.baseline_bits, q.baseline_bits, share);
    add_to_mean(mean.kl_to_baseline, q.kl_to_baseline, 1.0 / sampled);
    add_to_mean(mean.top1_agreement, q.top1_agreement, 1.0 / sampled);
  }
  return mean;
}

}  // namespace

double layer_repeat(const ExperimentInputs& inputs, const RoutingPlan& plan) {
  return static_cast<double>(inputs.experiment.costed_as.layers) / plan.layers();
}

StrategyRun::StrategyRun(Strategy strategy, const StrategyStages& stages)
    : strategy_(strategy),
      stages_(stages),
      experiment_(stages.inputs.experiment),
      plant_(stages.inputs.gpu,
             {.costs = stages.inputs.plant_costs,
              .shape = stages.inputs.experiment.costed_as,
              .dtypes = stages.inputs.dtypes,
              .layer_repeat = layer_repeat(stages.inputs, stages.decoder.baseline())},
             experiment_.step_period(), experiment_.plant.step_noise),
      monitor_(sensors(plant_, experiment_.disturbances), clock_, {.period = experiment_.tick}),
      plans_(stages.decoder.baseline()),
      recorder_(recorder_options(strategy, experiment_, stages.decoder.baseline())) {}

std::optional<StrategySummary> StrategyRun::run() {
  warm_up();
  monitor_.poll();
  metrics_ = metrics_before_start();
  const auto ticks = static_cast<int>(std::lround(experiment_.duration / experiment_.tick));
  for (int tick = 0; tick < ticks; ++tick) {
    const Snapshot snapshot = monitor_.latest();
    const StepCost costs = costs_now(snapshot);
    plans_.publish(stages_.controller.decide({.now = clock_.now(),
                                              .snapshot = snapshot,
                                              .stats = step_->stats,
                                              .sample = step_->sample,
                                              .metrics = metrics_,
                                              .costs = costs}));
    const RoutingPlan& plan = plans_.acquire();
    const Decoded decoded = decode(plan);
    const GpuDisturbance disturbance = disturbance_at(experiment_.disturbances, clock_.now());
    if (decoded.charge.basis == Basis::kExtrapolated) ++extrapolated_ticks_;
    const TickOutcome outcome = plant_.advance(experiment_.tick, decoded.charge.cost, disturbance);
    clock_.advance_to((tick + 1) * experiment_.tick);
    monitor_.poll();
    metrics_ = {.at = clock_.now(),
                .tick = experiment_.tick,
                .step_time = outcome.step_time,
                .step_period = outcome.step_period,
                .steps = outcome.steps,
                .tokens = outcome.steps * experiment_.batch,
                .kl_to_baseline = decoded.quality.kl_to_baseline};
    log(decoded, plan, outcome, disturbance, monitor_.latest());
    report(outcome);
    if (stages_.stop.load()) return std::nullopt;
  }
  stages_.logger.finish_strategy();
  StrategySummary summary = recorder_.summary();
  summary.extrapolated_share = static_cast<double>(extrapolated_ticks_) / ticks;
  if (summary.baseline_bits_per_byte) {
    summary.loss_interval =
        loss_interval(pieces_.beside(stages_.reference.pieces()), experiment_.seed);
  }
  summary.wanted_tokens_per_second = experiment_.tokens_per_second;
  return summary;
}

// Contexts fill up and the streams leave their common first byte, so that time 0 is a machine in
// the middle of its work; the controller's first plan is decided on these logits.
void StrategyRun::warm_up() {
  stages_.decoder.rewind();
  for (int i = 0; i < experiment_.warmup_steps; ++i) {
    step_.emplace(stages_.decoder.next(stages_.decoder.baseline()));
  }
}

StrategyRun::Decoded StrategyRun::decode(const RoutingPlan& plan) {
  Decoded mean;
  const int steps = experiment_.decode_steps_per_tick;
  std::vector<StepQuality> qualities;
  for (int i = 0; i < steps; ++i, ++decoded_) {
    const RoutedStep step = stages_.decoder.next(plan);
    step_.emplace(step);
    qualities.push_back(quality_of(step));
    const Lookup charge = step_charge(plant_.charge(), step.stats, plan);
    mean.charge.cost += (1.0 / steps) * charge.cost;
    mean.charge.basis = weaker(mean.charge.basis, charge.basis);
  }
  mean.quality = mean_quality(qualities);
  return mean;
}

StepQuality StrategyRun::quality_of(const RoutedStep& step) {
  if (!step.prediction) return {};
  const auto& [logits, targets, restarts] = *step.prediction;
  const std::vector<double> nats = target_nats(logits, targets);
  if (strategy_ == Strategy::kBaseline) stages_.reference.record(logits, nats, restarts);
  pieces_.add(restarts, nats);
  return stages_.reference.compare(decoded_, logits, nats);
}

// The perturbation factors are frozen at the measured state (docs/theory.md, "Traps").
StepCost StrategyRun::costs_now(const Snapshot& snapshot) const {
  if (snapshot.gpus.empty()) return stages_.costs;
  const GpuReading& gpu = snapshot.gpus.front();
  return stages_.inputs.costs.perturbation()
      .factors(gpu.temperature.value, gpu.power_instant.value)
      .apply(stages_.costs);
}

// Before the first tick nothing has run for any time: the machine is idle, and its sensors say so.
StepMetrics StrategyRun::metrics_before_start() const {
  const Seconds time = stages_.costs.step(step_->stats).latency;
  return {.at = clock_.now(),
          .step_time = time,
          .step_period = std::max(time, experiment_.step_period())};
}

void StrategyRun::log(const Decoded& decoded, const RoutingPlan& plan, const TickOutcome& outcome,
                      const GpuDisturbance& disturbance, const Snapshot& snapshot) {
  MetricsRow row{.strategy = to_string(strategy_),
                 .at = clock_.now(),
                 .targets = experiment_.targets,
                 .truth = outcome,
                 .sensed = snapshot.gpus.empty() ? nullptr : &snapshot.gpus.front(),
                 .disturbance = disturbance,
                 .sensor_fault = sensors_faulty_at(experiment_.disturbances, clock_.now()),
                 .step = metrics_,
                 .stats = step_->stats,
                 .plan = &plan,
                 .quality = decoded.quality,
                 .control = stages_.controller.state()};
  recorder_.add(row);
  stages_.logger.add(row);
}

void StrategyRun::report(const TickOutcome& outcome) {
  const std::string& reason = stages_.controller.state().fallback;
  if (reason != fallback_) {
    stages_.progress.note(reason.empty()
                              ? fmt::format("{} at {:.1f} s: in control again",
                                            to_string(strategy_), clock_.now().value)
                              : fmt::format("{} at {:.1f} s: fell back to {}", to_string(strategy_),
                                            clock_.now().value, reason));
  }
  fallback_ = reason;
  stages_.progress.update(to_string(strategy_), clock_.now(), experiment_.duration,
                          fmt::format("{:3.0f} W{}, {:2.0f} experts", outcome.mean_power.value,
                                      stages_.inputs.machine.simulated ? " (simulated)" : "",
                                      step_->stats.mean_active()));
}

}  // namespace thermoe
