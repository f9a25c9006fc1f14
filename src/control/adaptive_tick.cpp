// SPDX-License-Identifier: Apache-2.0
#include "control/adaptive_tick.h"

#include <algorithm>
#include <cmath>

#include "control/plan_writer.h"
#include "core/errors.h"

namespace thermoe {
namespace {

double quality_loss(double kept_mass) { return -std::log(std::max(kept_mass, 1e-9)); }

bool all_finite(const RoutingPlan& plan) {
  for (int l = 0; l < plan.layers(); ++l) {
    const auto finite = [](float x) { return std::isfinite(x); };
    const auto bias = plan.selection_bias(l);
    const auto price = plan.activation_price(l);
    if (!std::all_of(bias.begin(), bias.end(), finite)) return false;
    if (!std::all_of(price.begin(), price.end(), finite)) return false;
  }
  return true;
}

}  // namespace

AdaptiveTick::AdaptiveTick(const ControllerConfig& config)
    : config_(config), tracker_(config), health_(config.guard, config.targets) {}

TickView AdaptiveTick::begin(const Observation& o) {
  THERMOE_EXPECT(o.stats.layers == config_.layers && o.stats.experts == config_.experts,
                 "stats of {}x{} for a controller of {}x{}", o.stats.layers, o.stats.experts,
                 config_.layers, config_.experts);
  THERMOE_EXPECT(o.sample.layers == config_.layers && o.sample.experts == config_.experts,
                 "sample of {}x{} for a controller of {}x{}", o.sample.layers, o.sample.experts,
                 config_.layers, config_.experts);
  TickView view{.costs =
                    LoadCosts(o.costs, std::max(o.stats.tokens, o.sample.tokens), config_.variant)};
  view.ran = view.costs.demand(o.stats);
  const std::string number = HealthMonitor::number_fault(o);
  if (number.empty()) tracker_.observe(o, view.ran.cost);
  const std::string telemetry = health_.telemetry_fault(o, tracker_.power_sensor());
  view.fault = telemetry.empty() ? number : telemetry;
  if (number.empty()) {
    view.utilities = std::make_shared<const Utilities>(o.sample, config_.k);
    if (!view.utilities->finite()) view.utilities.reset();
    tracker_.learn(o, view.ran.cost, telemetry.empty());
  }
  return view;
}

RoutingPlan AdaptiveTick::finish(const Observation& o, const TickView& view, Intent intent) {
  std::string fault = view.fault.empty() ? intent.fault : view.fault;
  if (fault.empty() && !all_finite(intent.plan)) fault = "the new plan holds NaN";
  if (view.fault.empty()) {
    // While in fallback BASELINE runs and loses nothing: judge what would run instead.
    const bool shadow = health_.in_fallback() && intent.demand;
    const double kept = shadow ? intent.demand->kept_mass : o.stats.kept_mass;
    const std::string quality = health_.quality_fault(quality_loss(kept), o.metrics.tick);
    if (fault.empty()) fault = quality;
  }
  state_.fallback = health_.judge(o.now, fault);
  if (!state_.fallback.empty()) {
    intent.plan = baseline_plan_of(config_);
    intent.demand = intent.baseline;
    state_.lambda = 0.0;
    state_.saturated = false;
  }
  tracker_.expect(intent.demand ? std::optional(intent.demand->cost) : std::nullopt);
  state_.bias_norm = bias_norm(intent.plan);
  describe(intent.demand);
  return std::move(intent.plan);
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
