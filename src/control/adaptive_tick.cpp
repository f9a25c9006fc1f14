// SPDX-License-Identifier: Apache-2.0
#include "control/adaptive_tick.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "control/plan_writer.h"
#include "control/safe_plan.h"
#include "core/errors.h"

namespace thermoe {
namespace {

/// Requests arrive, and none was under way: what `stats` and `sample` hold is of long ago.
bool idle(const Observation& o) { return o.metrics.serving && o.metrics.serving->batch <= 0.0; }

/// Costs at the rows of the newest step, where they differ by rows.
const StepCost& costs_now(const Observation& o) {
  return o.batch_costs != nullptr ? o.batch_costs->at(std::max(1, o.stats.tokens)) : o.costs;
}

int largest_batch(const Observation& o) {
  int tokens = std::max(o.stats.tokens, o.sample.tokens);
  for (const RoutingStats& stats : o.ran) tokens = std::max(tokens, stats.tokens);
  return tokens;
}

}  // namespace

AdaptiveTick::AdaptiveTick(const ControllerConfig& config)
    : config_(config),
      calibration_(calibrate(config)),
      tracker_(config),
      health_(config.guard, config.targets) {
  if (config.engine) pacer_.emplace(config);
}

TickView AdaptiveTick::begin(const Observation& o) {
  THERMOE_EXPECT(o.stats.layers == config_.layers && o.stats.experts == config_.router.experts,
                 "stats of {}x{} for a controller of {}x{}", o.stats.layers, o.stats.experts,
                 config_.layers, config_.router.experts);
  THERMOE_EXPECT(o.sample.layers == config_.layers && o.sample.experts == config_.router.experts,
                 "sample of {}x{} for a controller of {}x{}", o.sample.layers, o.sample.experts,
                 config_.layers, config_.router.experts);
  TickView view = view_of(o);
  std::string number = HealthMonitor::number_fault(o);
  if (number.empty() && view.utilities && !view.utilities->finite())
    number = "the sampled gate logits hold NaN";
  view.numbers_sound = number.empty();
  if (!view.numbers_sound) view.utilities.reset();
  if (view.numbers_sound) tracker_.observe(o, view.ran.cost);
  const std::string telemetry = health_.telemetry_fault(o, tracker_.power_sensor());
  if (!telemetry.empty()) {
    view.fault = {PlanKind::kStatic, telemetry};
  } else if (!number.empty()) {
    view.fault = {PlanKind::kLastSound, number};
  }
  if (view.numbers_sound) tracker_.learn(o, view.ran.cost, telemetry.empty());
  if (pacer_ && view.numbers_sound) {
    pacer_->learn(o);
    if (view.utilities) pacer_->learn_picks(plain_loads(*view.utilities).back(), o.metrics.tick);
  }
  return view;
}

TickView AdaptiveTick::view_of(const Observation& o) {
  largest_batch_ = std::max(largest_batch_, largest_batch(o));
  TickView view{.costs = LoadCosts(costs_now(o), largest_batch_, config_.variant)};
  if (!idle(o)) {
    view.ran = ran(o, view);
    view.utilities = std::make_shared<const Utilities>(o.sample, config_.router);
  }
  return view;
}

/// Of the steps that ran in the tick: those before the newest burnt as much power as it did.
Demand AdaptiveTick::ran(const Observation& o, const TickView& view) const {
  if (o.ran.empty()) return view.costs.demand(o.stats);
  Demand mean = kNoDemand;
  for (const RoutingStats& stats : o.ran) {
    const bool others = o.batch_costs != nullptr && stats.tokens != o.stats.tokens;
    const Demand demand =
        others ? LoadCosts(o.batch_costs->at(stats.tokens), largest_batch_, config_.variant)
                     .demand(stats)
               : view.costs.demand(stats);
    mean = plus(mean, demand, 1.0 / static_cast<double>(o.ran.size()));
  }
  return mean;
}

void AdaptiveTick::pace(const Observation& o, const TickView& view, const Demand& plain) {
  if (!pacer_ || !view.numbers_sound) return;
  const bool told = o.metrics.serving || o.metrics.steps <= 0.0;  // before the start nothing is
  if (!told) return;
  pacer_->choose(o, plain, tracker_);
  tracker_.pace(pacer_->period(), pacer_->stretch());
}

bool AdaptiveTick::meets(const Cost& cost) const {
  if (!tracker_.meets(config_.targets, cost)) return false;
  const std::optional<Seconds> longest = pacer_ ? pacer_->longest_step() : std::nullopt;
  return !longest || tracker_.forecast(cost).step_time <= *longest;
}

Fault AdaptiveTick::fault_of(const Observation& o, const TickView& view, const Intent& intent) {
  Fault fault = view.fault;
  if (!fault && !intent.fault.empty()) fault = {PlanKind::kLastSound, intent.fault};
  if (const auto problem = find_problem(intent.plan); !fault && problem) {
    fault = {PlanKind::kLastSound, fmt::format("the new plan cannot run: {}", *problem)};
  }
  // While BASELINE runs it loses nothing: judge what would run instead, in ticks that tell.
  const bool shadow = health_.acting().remedy == PlanKind::kBaseline;
  if (!view.numbers_sound || (shadow && view.fault)) return fault;
  const double loss = idle(o)                   ? 0.0
                      : shadow && intent.demand ? intent.demand->quality_loss
                                                : o.stats.known_quality_loss();
  const std::string quality = health_.quality_fault(loss, o.metrics.tick);
  if (!quality.empty()) fault = {PlanKind::kBaseline, quality};
  return fault;
}

PlanKind AdaptiveTick::at_hand(PlanKind wanted) const {
  if (wanted == PlanKind::kLastSound && !sound_) wanted = PlanKind::kStatic;
  return wanted == PlanKind::kStatic ? safe_kind(config_) : wanted;
}

AdaptiveTick::Published AdaptiveTick::published(PlanKind kind, Intent intent) const {
  switch (kind) {
    case PlanKind::kStrategy:
      break;
    case PlanKind::kLastSound:
      return *sound_;
    case PlanKind::kStatic:
      return {.plan = static_plan(config_, calibration_),
              .demand = calibration_.demand,
              .lambda = calibration_.lambda,
              .saturated = !calibration_.reached};
    case PlanKind::kBaseline:
      return {.plan = baseline_plan_of(config_), .demand = intent.baseline};
  }
  return {.plan = std::move(intent.plan),
          .demand = intent.demand,
          .lambda = intent.lambda,
          .saturated = intent.saturated};
}

Decision AdaptiveTick::finish(const Observation& o, const TickView& view, Intent intent) {
  Fault fault = fault_of(o, view, intent);
  if (!health_.acting() && !view.fault && intent.demand && !find_problem(intent.plan)) {
    sound_ = published(PlanKind::kStrategy, intent);
  }
  const PlanKind wanted = fault.remedy;
  fault.remedy = at_hand(wanted);
  if (wanted == PlanKind::kStatic && config_.calibration.empty() &&
      config_.guard.fallback == SensorFallback::kStatic) {
    fault.reason += "; a static plan would need calibration samples";
  }
  const Fault& acting = health_.judge(o.now, fault);
  state_.plan = acting.remedy;
  state_.fallback =
      acting ? fmt::format("{}: {}", to_string(acting.remedy), acting.reason) : std::string();
  Published out = published(acting.remedy, std::move(intent));
  state_.lambda = out.lambda;
  state_.saturated = out.saturated || (pacer_ && pacer_->first_token_unmet());
  if (pacer_ && pacer_->paces()) state_.pacing = pacer_->state();
  tracker_.expect(out.demand ? std::optional(out.demand->cost) : std::nullopt);
  if (pacer_ && out.demand) pacer_->expect(tracker_.forecast(out.demand->cost).step_time);
  state_.bias_norm = bias_norm(out.plan);
  describe(out.demand);
  return decision_of(config_, o.now, std::move(out.plan), tracker_.step_period());
}

void AdaptiveTick::describe(const std::optional<Demand>& demand) {
  if (!demand) return;
  const Forecast f = tracker_.forecast(demand->cost);
  state_.predicted_power = f.power;
  state_.power_residual = tracker_.power_residual();
  state_.predicted_step_time = f.step_time;
  state_.step_time_residual = tracker_.step_time_residual();
  state_.predicted_temperature = f.temperature;
  state_.temperature_residual.reset();
  if (f.temperature) state_.temperature_residual = tracker_.temperature().offset();
  state_.predicted_active = demand->active;
  state_.predicted_kept_mass = demand->kept_mass;
}

}  // namespace thermoe
