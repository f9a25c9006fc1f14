// SPDX-License-Identifier: Apache-2.0
#include "run/strategy_run.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/controlled_gpu.h"
#include "core/errors.h"
#include "machine/disturbance.h"

namespace thermoe {
namespace {

RecorderOptions recorder_options(const Turn& turn, const Experiment& experiment,
                                 const RoutingPlan& plan) {
  RecorderOptions options{.name = turn.name(),
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

/// Of a tick, between two polls of a monitor in real time: of a sensor that is updated about once a
/// tick it is then known when.
constexpr double kPollPeriod = 0.2;

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

StrategyRun::StrategyRun(const Turn& turn, const StrategyStages& stages)
    : strategy_(turn.strategy),
      name_(turn.name()),
      stages_(stages),
      experiment_(stages.inputs.experiment),
      monitor_(stages.machine.open_sensors(), stages.machine.clock(),
               {.period = kPollPeriod * experiment_.tick}),
      plans_(stages.decoder.baseline()),
      recorder_(recorder_options(turn, experiment_, stages.decoder.baseline())) {}

std::optional<StrategySummary> StrategyRun::run() {
  warm_up();
  begin_control();
  const auto ticks = static_cast<int>(std::lround(experiment_.duration / experiment_.tick));
  for (int tick = 0; tick < ticks; ++tick) {
    const Seconds end = (tick + 1) * experiment_.tick;
    if (now() >= end) continue;  // the one before took its time too
    if (tick > 0) decide();
    const GpuDisturbance disturbance = disturbance_at(experiment_.disturbances, now());
    qualities_.clear();
    ran_.clear();
    const Seconds period = newest_.decision.step_period;
    const TickReport ran = stages_.machine.run_tick(
        end, period, [this](std::optional<int> sequences) { return decode(sequences); });
    steps_ += ran.steps;
    late_ += static_cast<double>(ran.late);
    repeated_ += static_cast<double>(ran.repeated);
    near_ties_ += ran.near_ties;
    if (ran.basis == Basis::kExtrapolated) ++extrapolated_ticks_;
    if (!aside_) monitor_.poll();
    const StepQuality quality = mean_quality(qualities_);
    metrics_ = {.at = now(),
                .tick = ran.length > Seconds(0) ? ran.length : experiment_.tick,
                .step_time = ran.step_time,
                .step_period = ran.step_period,
                .steps = ran.steps,
                .tokens = ran.serving ? ran.serving->tokens : ran.steps * experiment_.batch,
                .serving = ran.serving,
                .kl_to_baseline = quality.kl_to_baseline};
    log(ran, period, disturbance, quality);
    report(ran);
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
  if (summary.serving) {
    summary.serving->asked_tokens_per_second =
        asked_tokens_per_second(experiment_, summary.serving->arrived);
  }
  if (aside_ && steps_ > 0.0) {
    summary.late_share = late_ / steps_;
    summary.repeated_share = repeated_ / steps_;
    summary.late_decision_share = static_cast<double>(late_decisions_) / ticks;
  }
  summary.near_ties = near_ties_;
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

// The first decision is there before time begins, on any machine.
void StrategyRun::begin_control() {
  monitor_.poll();
  metrics_ = metrics_before_start();
  decide();
  if (!stages_.inputs.machine.real_time) return;
  monitor_.start();
  aside_.emplace(stages_.controller);
}

// Where time does not wait, the decision is put in force once it is there, between two steps.
void StrategyRun::decide() {
  const Snapshot snapshot = monitor_.latest();
  const PerturbationFactors factors = factors_now(snapshot);
  const StepCost costs = factors.apply(stages_.costs);
  std::optional<BatchCosts> by_rows;
  if (stages_.batch_costs != nullptr) {
    by_rows = stages_.batch_costs->changed([&](const StepCost& c) { return factors.apply(c); });
  }
  const Observation observation{.now = now(),
                                .snapshot = snapshot,
                                .stats = step_->stats,
                                .sample = step_->sample,
                                .metrics = metrics_,
                                .costs = costs,
                                .ran = ran_,
                                .batch_costs = by_rows ? &*by_rows : nullptr};
  if (!aside_) {
    Decision decision = stages_.controller.decide(observation);
    put_in_force({std::move(decision), stages_.controller.state()});
    return;
  }
  look_in();
  if (!aside_->ask(observation)) ++late_decisions_;
}

void StrategyRun::look_in() {
  if (std::optional<Decided> decided = aside_->take()) {
    put_in_force(std::move(*decided));
  } else if (!safe_in_force_ && outlived()) {
    put_in_force(std::move(newest_));
  }
}

bool StrategyRun::outlived() const {
  constexpr Seconds kSlack{1e-9};  // ticks are sums of 0.1 s
  const std::optional<Seconds>& until = newest_.decision.valid_until;
  return until && now() + kSlack >= *until;
}

// A slow or dead controller costs quality of control, and no cap.
void StrategyRun::put_in_force(Decided decided) {
  newest_ = std::move(decided);
  safe_in_force_ = outlived();
  plans_.publish(safe_in_force_ ? stages_.safe.plan : newest_.decision.plan);
  control_ = newest_.state;
  if (!safe_in_force_) return;
  control_ = {
      .plan = stages_.safe.kind,
      .fallback = fmt::format("{}: no decision followed the one that was valid until {:.1f} s",
                              to_string(stages_.safe.kind), newest_.decision.valid_until->value)};
}

StepLoads StrategyRun::decode(std::optional<int> sequences) {
  if (aside_) look_in();
  plan_ = &plans_.acquire();
  const RoutedStep step = stages_.decoder.next(*plan_, sequences);
  step_.emplace(step);
  qualities_.push_back(quality_of(step));
  ran_.push_back(step.stats);
  ++decoded_;
  return {.plan = *plan_, .stats = step.stats, .sample = step.sample};
}

StepQuality StrategyRun::quality_of(const RoutedStep& step) {
  if (!step.prediction) return {};
  const auto& [logits, targets, restarts] = *step.prediction;
  const std::vector<double> nats = target_nats(logits, targets);
  // A later round predicts the same.
  if (strategy_ == Strategy::kBaseline && decoded_ == stages_.reference.steps()) {
    stages_.reference.record(logits, nats, restarts);
  }
  pieces_.add(restarts, nats);
  return stages_.reference.compare(decoded_, logits, nats);
}

// The perturbation factors are frozen at the measured state (docs/theory.md, "Traps").
PerturbationFactors StrategyRun::factors_now(const Snapshot& snapshot) const {
  const GpuReading* gpu = controlled_gpu(snapshot);
  if (gpu == nullptr) return {};
  return stages_.inputs.costs.perturbation().factors(gpu->temperature.value,
                                                     gpu->power_instant.value);
}

// Before the first tick nothing has run for any time: the machine is idle, and its sensors say so.
StepMetrics StrategyRun::metrics_before_start() const {
  const Seconds time = stages_.costs.step(step_->stats).latency;
  return {.at = now(), .step_time = time, .step_period = std::max(time, experiment_.step_period())};
}

void StrategyRun::log(const TickReport& tick, Seconds period, const GpuDisturbance& disturbance,
                      const StepQuality& quality) {
  const Snapshot snapshot = monitor_.latest();
  MetricsRow row{.strategy = name_,
                 .simulated = stages_.inputs.machine.simulated,
                 .at = now(),
                 .targets = experiment_.targets,
                 .truth = tick.truth,
                 .sensed = controlled_gpu(snapshot),
                 .disturbance = disturbance,
                 .sensor_fault = sensors_faulty_at(experiment_.disturbances, now()),
                 .step = metrics_,
                 .period = tick.serving ? std::optional(period) : std::nullopt,
                 .late_steps = of_real_time(tick.late),
                 .repeated_steps = of_real_time(tick.repeated),
                 .routed = !ran_.empty(),
                 .stats = step_->stats,
                 .plan = plan_,
                 .quality = quality,
                 .control = control_};
  recorder_.add(row);
  stages_.logger.add(row);
  if (stages_.on_tick) stages_.on_tick(row);
}

std::optional<std::uint64_t> StrategyRun::of_real_time(std::uint64_t count) const {
  return aside_ ? std::optional(count) : std::nullopt;
}

void StrategyRun::report(const TickReport& tick) {
  const std::string& reason = control_.fallback;
  if (reason != fallback_) {
    stages_.progress.note(
        reason.empty()
            ? fmt::format("{} at {:.1f} s: in control again", name_, now().value)
            : fmt::format("{} at {:.1f} s: fell back to {}", name_, now().value, reason));
  }
  fallback_ = reason;
  if (!tick.problem.empty() && !std::exchange(told_problem_, true)) {
    stages_.progress.note(
        fmt::format("{} at {:.1f} s: no true watts: {}", name_, now().value, tick.problem));
  }
  stages_.progress.update(name_, now(), experiment_.duration, at_work(tick));
}

std::string StrategyRun::at_work(const TickReport& tick) const {
  std::string text;
  if (const auto& power = tick.truth.mean_power) {
    text = fmt::format("{:3.0f} W{}, ", power->value,
                       stages_.inputs.machine.simulated ? " (simulated)" : "");
  }
  text += fmt::format("{:2.0f} experts", step_->stats.mean_active());
  if (const auto& serving = tick.serving) {
    text += fmt::format(", batch {:.0f}, {} waiting", serving->batch, serving->waiting);
  }
  return text;
}

}  // namespace thermoe
