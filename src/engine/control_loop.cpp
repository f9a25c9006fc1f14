// SPDX-License-Identifier: Apache-2.0
#include "engine/control_loop.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "control/active_mask.h"
#include "control/calibration.h"
#include "control/demand.h"
#include "control/safe_plan.h"

namespace thermoe {
namespace {

/// While no step runs: the model's power is then that of idle.
constexpr Seconds kNoStep{1e6};
/// Decisions whose plans are remembered: a sample comes from one of the latest.
constexpr std::size_t kRemembered = 4;

double mean_active(const std::vector<RoutingStats>& ran) {
  double sum = 0.0;
  for (const RoutingStats& stats : ran) sum += stats.mean_active();
  return sum / static_cast<double>(ran.size());
}

/// Of an engine that does not tell of its queue: what its steps show.
StepServing shown_by(const StepTotals& totals) {
  if (totals.decoded == 0) return {};
  return {.running = static_cast<int>(totals.decode_tokens / totals.decoded)};
}

ServingTick serving_of(const StepTotals& totals, const StepServing& newest, Seconds period) {
  const auto decoded = std::max(1.0, static_cast<double>(totals.decoded));
  ServingTick serving{.batch = static_cast<double>(totals.decode_tokens) / decoded,
                      .rows = static_cast<double>(totals.rows) / decoded,
                      .running = newest.running,
                      .waiting = newest.waiting,
                      .arrived = static_cast<int>(totals.arrived),
                      .finished = static_cast<int>(totals.finished),
                      .tokens = static_cast<double>(totals.decode_tokens),
                      .mixed_steps = static_cast<double>(totals.mixed)};
  if (totals.periods > 0) {
    serving.between_tokens = {{.gap = period, .tokens = serving.tokens}};
  }
  return serving;
}

/// What only shows with the cost model is refused before the engine begins.
void check_beforehand(ControllerConfig control, EngineCosts& costs) {
  control.costs = costs.at(1);
  control.calibration.resize(
      1, {.layers = control.layers, .tokens = 0, .experts = control.router.experts});
  check(control);
}

}  // namespace

ControlLoop::ControlLoop(Parts parts) : parts_(std::move(parts)), config_(parts_.config.control) {
  const KernelCostModel& model = parts_.costs.model();
  if (model.has_thermal() || config_.targets.temperature) config_.thermal = model.thermal();
  const SensorLag told = model.header().sensors.value_or(SensorLag{});
  config_.lag = {.delay = parts_.config.sensor_delay.value_or(told.delay),
                 .window = parts_.config.sensor_window.value_or(told.window)};
  if (config_.engine) config_.batch_costs = parts_.costs.by_rows(*config_.engine);
  check_beforehand(config_, parts_.costs);
  state_.control.plan = PlanKind::kBaseline;
  state_.control.fallback = "BASELINE: no gate logits were observed yet";
}

EngineState ControlLoop::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

void ControlLoop::say(const std::function<void(EngineState&)>& change) {
  const std::lock_guard lock(mutex_);
  change(state_);
}

void ControlLoop::end(const std::string& reason) {
  say([&](EngineState& state) {
    state.control.plan = safe_ ? safe_kind(config_) : PlanKind::kBaseline;
    state.control.fallback =
        fmt::format("{}: the controller has ended: {}", to_string(state.control.plan), reason);
  });
}

void ControlLoop::tick(Seconds now) {
  const Seconds dt = now - last_;
  if (dt <= Seconds(0)) return;
  last_ = now;
  loads_.clear();
  const StepTotals totals = parts_.steps.drain(loads_);
  std::optional<TickReport> simulated;
  if (parts_.simulated != nullptr) simulated = parts_.simulated->run(dt, totals, loads_);
  if (parts_.polls) parts_.monitor.poll();
  if (auto sample = parts_.steps.take_sample()) learn(std::move(*sample));
  ran_.clear();
  for (LoggedLoads& step : loads_) ran_.push_back(std::move(step.stats));
  idle_ = totals.decoded == 0;
  if (!idle_) {
    rows_ = std::max(1, static_cast<int>(std::lround(static_cast<double>(totals.rows) /
                                                     static_cast<double>(totals.decoded))));
  }
  const StepMetrics metrics = metrics_of(now, dt, totals, simulated);
  const Snapshot snapshot = parts_.monitor.latest();
  say([&](EngineState& state) {
    state.steps.add(totals);
    state.snapshot = snapshot;
    state.metrics = idle_ ? std::nullopt : std::optional(metrics);
    state.active_experts = ran_.empty() ? std::nullopt : std::optional(mean_active(ran_));
    state.active_by_layer.clear();
    for (int l = 0; !ran_.empty() && l < config_.layers; ++l) {
      state.active_by_layer.push_back(ran_.back().active(l));
    }
    if (!newest_) return;
    state.quality_loss = newest_->ran.stats.known_quality_loss();
    state.kept_mass = kept_mass_;
  });
  if (!controller_ && !idle_) {
    decoded_ += static_cast<double>(totals.decode_tokens);
    decoded_for_ += dt;
  }
  if (!controller_ && std::ssize(calibration_) >= parts_.config.calibration_samples) {
    begin_control();
  }
  if (controller_) decide(now, metrics, snapshot);
  if (parts_.metrics != nullptr) parts_.metrics->publish(state_);  // nobody else writes it
}

void ControlLoop::learn(LoggedSample sample) {
  const auto utilities = std::make_shared<const Utilities>(sample.sample, config_.router);
  if (utilities->finite()) {
    const bool told = sample.ran.stats.quality_loss.has_value();
    if (!told) judge_quality(sample.ran, utilities);
    kept_mass_ = told ? std::nullopt : std::optional(sample.ran.stats.kept_mass);
    if (!controller_) calibration_.push_back(sample.sample);
    if (parts_.config.by_mask) {
      recent_.push_back(utilities);
      if (recent_.size() > static_cast<std::size_t>(kRecentSamples)) recent_.pop_front();
    }
  }
  newest_ = std::move(sample);
  if (controller_) return;
  say([&](EngineState& state) {
    state.control.fallback =
        fmt::format("BASELINE: {} of {} sampled steps seen before control begins",
                    calibration_.size(), parts_.config.calibration_samples);
  });
}

// The engine knows what it picked, but not what a token lost with it.
void ControlLoop::judge_quality(LoggedLoads& ran, const Sample& sample) const {
  const PlanAndMask* under = safe_ && ran.version % 2 == 1 ? safe_.get() : nullptr;
  for (const auto& [version, routes] : handed_) {
    if (version == ran.version) under = &routes;
  }
  if (under == nullptr && !handed_.empty()) under = &handed_.back().second;
  if (under == nullptr) return;  // plain top-k: nothing is lost
  const RoutingStats routed =
      parts_.config.by_mask ? routed_among(under->mask, sample) : routed_by(under->plan, sample);
  ran.stats.kept_mass = routed.kept_mass;
  ran.stats.quality_loss = routed.quality_loss;
}

// Requests that arrive make larger batches of longer periods: steps were sampled at their own, the
// plan is for the one asked for.
std::vector<LogitSample> ControlLoop::calibration_batches() {
  const bool paced = config_.engine && config_.targets.between_tokens &&
                     config_.objective != Objective::kThroughput &&
                     config_.strategy != Strategy::kPriceAlone;
  if (!paced || decoded_for_ <= Seconds(0)) return std::move(calibration_);
  const double batch = decoded_ * (*config_.targets.between_tokens / decoded_for_);
  const auto most = static_cast<double>(config_.engine->batch_limit);
  return in_batches_of(static_cast<int>(std::lround(std::min(batch, most))), calibration_);
}

void ControlLoop::begin_control() {
  config_.costs = parts_.costs.at(rows_);
  config_.calibration = calibration_batches();
  SafePlan safe = safe_plan(config_);
  std::vector<std::uint8_t> mask = mask_of(safe.plan);
  // A static plan has the period that it was calibrated at, BASELINE that of the engine's own.
  safe_period_ =
      safe.kind == PlanKind::kStatic ? at_reference(config_).step_period : config_.step_period;
  safe_ = std::make_shared<const PlanAndMask>(
      PlanAndMask{.plan = std::move(safe.plan), .mask = std::move(mask)});
  controller_ = parts_.make_controller(config_);
}

StepMetrics ControlLoop::metrics_of(Seconds now, Seconds dt, const StepTotals& totals,
                                    const std::optional<TickReport>& simulated) const {
  StepMetrics metrics{.at = now, .tick = dt, .step_period = kNoStep};
  metrics.steps = static_cast<double>(totals.steps);
  metrics.tokens = static_cast<double>(totals.tokens);
  if (totals.decoded > 0) {
    if (totals.timed > 0) metrics.step_time = totals.time / static_cast<double>(totals.timed);
    metrics.step_period = totals.periods > 0 ? totals.period / static_cast<double>(totals.periods)
                                             : dt / static_cast<double>(totals.decoded);
    if (simulated) {
      metrics.step_time = simulated->step_time;
      metrics.step_period = std::max(metrics.step_period, simulated->step_time);
    }
  }
  if (config_.engine) {
    metrics.serving =
        serving_of(totals, totals.serving.value_or(shown_by(totals)), metrics.step_period);
  }
  return metrics;
}

std::vector<std::uint8_t> ControlLoop::mask_of(const RoutingPlan& plan) const {
  if (!parts_.config.by_mask) return {};
  const std::vector<Sample> samples(recent_.begin(), recent_.end());
  return active_mask(plan, config_.router, samples);
}

void ControlLoop::decide(Seconds now, const StepMetrics& metrics, const Snapshot& snapshot) {
  // The perturbation factors are frozen at the measured state (docs/theory.md, "Traps").
  const PerturbationFactors factors = parts_.costs.factors(snapshot);
  const StepCost costs = factors.apply(parts_.costs.at(rows_));
  std::optional<BatchCosts> by_rows;
  if (config_.batch_costs) {
    by_rows = config_.batch_costs->changed([&](const StepCost& c) { return factors.apply(c); });
  }
  RoutingStats stats = newest_->ran.stats;
  if (idle_) stats.kept_mass = 1.0, stats.quality_loss = 0.0;  // of tokens that nobody asked for
  Decision decision = controller_->decide({.now = now,
                                           .snapshot = snapshot,
                                           .stats = stats,
                                           .sample = newest_->sample,
                                           .metrics = metrics,
                                           .costs = costs,
                                           .ran = ran_,
                                           .batch_costs = by_rows ? &*by_rows : nullptr});
  HandedDecision handed{.routes = {.plan = std::move(decision.plan)},
                        .step_period = decision.step_period,
                        .valid_until = decision.valid_until,
                        .safe = safe_,
                        .safe_step_period = safe_period_};
  handed.routes.mask = mask_of(handed.routes.plan);
  PlanAndMask remembered = handed.routes;
  const Seconds step_period = handed.step_period;
  handed_.emplace_back(parts_.hand_over.publish(std::move(handed)), std::move(remembered));
  if (handed_.size() > kRemembered) handed_.pop_front();
  say([&](EngineState& state) {
    ++state.ticks;
    state.control = controller_->state();
    state.step_period = step_period;
  });
}

}  // namespace thermoe
