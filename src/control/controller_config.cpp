// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "control/controller_config.h"
#include "core/errors.h"
#include "core/named_values.h"

namespace thermoe {
namespace {

constexpr NamedValues<Strategy, 8> kStrategies{{
    {Strategy::kBaseline, "BASELINE"},
    {Strategy::kStaticOptimal, "STATIC_OPTIMAL"},
    {Strategy::kKernelAwareTtha, "KERNEL_AWARE_TTHA"},
    {Strategy::kReducedK, "REDUCED_K"},
    {Strategy::kOpportunistic, "OPPORTUNISTIC"},
    {Strategy::kPriceAlone, "PRICE_ALONE"},
    {Strategy::kPacingAlone, "PACING_ALONE"},
    {Strategy::kLargerBatch, "LARGER_BATCH"},
}};
constexpr NamedValues<TthaMode, 3> kModes{{
    {TthaMode::kBoth, "both"},
    {TthaMode::kDualOnly, "dual_only"},
    {TthaMode::kAdapterOnly, "adapter_only"},
}};
constexpr NamedValues<Objective, 2> kObjectives{{
    {Objective::kEnergy, "energy"},
    {Objective::kThroughput, "throughput"},
}};
constexpr NamedValues<PlanKind, 4> kPlanKinds{{
    {PlanKind::kStrategy, "the strategy's plan"},
    {PlanKind::kLastSound, "the last sound plan"},
    {PlanKind::kStatic, "the calibrated static plan"},
    {PlanKind::kBaseline, "BASELINE"},
}};
constexpr NamedValues<SensorFallback, 2> kFallbacks{{
    {SensorFallback::kStatic, "static"},
    {SensorFallback::kBaseline, "baseline"},
}};

void need(bool condition, const std::string& sentence) {
  if (!condition) throw UsageError("controller: " + sentence);
}

void check_positive(const char* name, double value) {
  need(std::isfinite(value) && value > 0.0,
       fmt::format("{} is {}, must be a number > 0", name, value));
}

void check_targets(const Targets& targets) {
  if (targets.power) check_positive("targets.power", targets.power->value);
  if (targets.step_time) check_positive("targets.step_time", targets.step_time->value);
  if (targets.temperature) check_positive("targets.temperature", targets.temperature->value);
  if (targets.between_tokens)
    check_positive("targets.between_tokens", targets.between_tokens->value);
  if (targets.to_first_token)
    check_positive("targets.to_first_token", targets.to_first_token->value);
}

void check_engine(const ControllerConfig& c) {
  const bool of_engines = c.strategy == Strategy::kPriceAlone ||
                          c.strategy == Strategy::kPacingAlone ||
                          c.strategy == Strategy::kLargerBatch;
  const bool asked = c.targets.between_tokens || c.targets.to_first_token;
  need(c.engine || !(of_engines || asked),
       fmt::format("{} an engine whose requests arrive; give one, or leave that out",
                   of_engines ? fmt::format("{} needs", to_string(c.strategy))
                              : "a target on time between tokens or to first token needs"));
  if (!c.engine) return;
  need(c.engine->batch_limit >= 1,
       fmt::format("engine.batch_limit={} must be at least 1", c.engine->batch_limit));
  need(c.batch_costs.has_value(), "an engine needs batch_costs: the costs of a step by its rows");
}

void check_sizes(const ControllerConfig& c) {
  const auto cells =
      static_cast<std::size_t>(c.layers) * static_cast<std::size_t>(c.router.experts);
  need(c.variant.empty() || c.variant.size() == cells,
       fmt::format("variant has {} values, must have layers x experts = {}", c.variant.size(),
                   cells));
  for (const std::uint8_t v : c.variant) {
    need(v < c.costs.variants.size(),
         fmt::format("variant {} has no cost curve; the cost model gives {}", v,
                     c.costs.variants.size()));
  }
  for (const LogitSample& s : c.calibration) {
    need(s.layers == c.layers && s.experts == c.router.experts,
         fmt::format("a calibration sample has {} layers of {} experts, the model {} of {}",
                     s.layers, s.experts, c.layers, c.router.experts));
  }
}

}  // namespace

std::string_view to_string(Strategy strategy) { return name_of(kStrategies, strategy); }
std::vector<std::string> strategy_names() { return all_names(kStrategies); }
std::optional<Strategy> strategy_from(std::string_view name) { return value_of(kStrategies, name); }
std::string_view to_string(PlanKind kind) { return name_of(kPlanKinds, kind); }
std::string_view to_string(TthaMode mode) { return name_of(kModes, mode); }
std::optional<TthaMode> ttha_mode_from(std::string_view name) { return value_of(kModes, name); }
std::vector<std::string> ttha_mode_names() { return all_names(kModes); }
std::string_view to_string(SensorFallback fallback) { return name_of(kFallbacks, fallback); }
std::optional<SensorFallback> sensor_fallback_from(std::string_view name) {
  return value_of(kFallbacks, name);
}
std::string_view to_string(Objective objective) { return name_of(kObjectives, objective); }
std::optional<Objective> objective_from(std::string_view name) {
  return value_of(kObjectives, name);
}
std::vector<std::string> objective_names() { return all_names(kObjectives); }
std::vector<std::string> sensor_fallback_names() { return all_names(kFallbacks); }

void check(const ControllerConfig& c) {
  need(c.layers >= 1 && c.router.experts <= 65536,
       fmt::format("layers={} experts={} is no router", c.layers, c.router.experts));
  if (const auto problem = find_problem(c.router, c.layers)) {
    throw UsageError(fmt::format("controller: router.{}: {}", problem->key, problem->problem));
  }
  need(c.k_min >= 1 && c.k_min <= c.router.k,
       fmt::format("k_min={} must be within 1..k={}", c.k_min, c.router.k));
  check_targets(c.targets);
  need(std::isfinite(c.step_period.value) && c.step_period.value >= 0.0,
       fmt::format("step_period={} must be >= 0 (0 = saturated)", c.step_period.value));
  check_positive("guard.bias_clamp", c.guard.bias_clamp);
  check_positive("guard.max_quality_loss", c.guard.max_quality_loss);
  check_positive("guard.quality_window", c.guard.quality_window.value);
  check_positive("guard.stale_after", c.guard.stale_after.value);
  need(c.guard.recover_after.value >= 0.0, "guard.recover_after must be >= 0");
  need(c.guard.valid_ticks >= 1,
       fmt::format("guard.valid_ticks={} must be at least 1", c.guard.valid_ticks));
  check_positive("tick", c.tick.value);
  need(std::isfinite(c.lag.delay.value) && c.lag.delay.value >= 0.0,
       fmt::format("lag.delay is {}, must be a number >= 0", c.lag.delay.value));
  check_positive("lag.window", c.lag.window.value);
  check_positive("thermal.time_constant", c.thermal.time_constant.value);
  check_positive("thermal.resistance", c.thermal.resistance.value);
  check_engine(c);
  need(!c.costs.variants.empty(), "costs hold no curve; load a cost model");
  check_sizes(c);
  const bool adapter_only =
      c.strategy == Strategy::kKernelAwareTtha && c.mode == TthaMode::kAdapterOnly;
  need(!(c.strategy == Strategy::kStaticOptimal || adapter_only) || !c.calibration.empty(),
       fmt::format("{} needs calibration samples; give at least one",
                   adapter_only ? "adapter_only" : "STATIC_OPTIMAL"));
}

}  // namespace thermoe
