// SPDX-License-Identifier: Apache-2.0
#include "report/report_data.h"

#include <algorithm>

#include "report/plot_data.h"
#include "report/settings.h"
#include "report/verdict.h"

namespace thermoe {
namespace {

using nlohmann::json;

json optional(const std::optional<double>& value) { return value ? json(*value) : json(nullptr); }
json seconds(const std::optional<Seconds>& value) {
  return value ? json(value->value) : json(nullptr);
}

json milliseconds(const std::optional<Seconds>& value) {
  return value ? json(1e3 * value->value) : json(nullptr);
}

json interval_json(const std::optional<Interval>& interval) {
  return interval ? json{interval->low, interval->high} : json(nullptr);
}

json target_json(const TargetOutcome& target) {
  static constexpr const char* kNames[] = {"power", "temperature", "step", "between", "first"};
  return {{"kind", kNames[static_cast<std::size_t>(target.kind)]},
          {"target", target.target},
          {"over_share", target.violation_fraction},
          {"above_share", optional(target.over_target_fraction)},
          {"settling_s", seconds(target.settling)},
          {"mean", target.mean},
          {"steady", target.steady},
          {"highest", target.highest},
          {"best_held", optional(target.best_held)}};
}

json latency_json(const std::optional<Latency>& latency) {
  if (!latency) return nullptr;
  return {{"mean", 1e3 * latency->mean.value},
          {"p50", 1e3 * latency->p50.value},
          {"p99", 1e3 * latency->p99.value}};
}

json serving_json(const std::optional<ServingFigures>& serving) {
  if (!serving) return nullptr;
  return {{"asked", optional(serving->asked_tokens_per_second)},
          {"goodput", serving->goodput},
          {"first", latency_json(serving->to_first_token)},
          {"between", latency_json(serving->between_tokens)},
          {"batch", serving->batch},
          {"rows", serving->rows},
          {"arrived", serving->arrived},
          {"finished", serving->finished},
          {"waiting", serving->waiting},
          {"most_waiting", serving->most_waiting},
          {"period_ms", 1e3 * serving->period.value},
          {"lambda", serving->lambda}};
}

json figures_json(const StrategySummary& s) {
  json targets = json::array();
  for (const TargetOutcome& target : s.targets) targets.push_back(target_json(target));
  return {{"tokens_per_second", s.tokens_per_second},
          {"joules_per_token", optional(s.joules_per_token)},
          {"mean_power_w", s.energy_share > 0 ? json(s.mean_power.value) : json(nullptr)},
          {"max_temperature_c", s.max_temperature.value},
          {"p50_step_ms", milliseconds(s.p50_step)},
          {"p99_step_ms", milliseconds(s.p99_step)},
          {"active_experts", s.mean_active_experts},
          {"kept_percent", s.kept_mass ? json(100 * *s.kept_mass) : json(nullptr)},
          {"quality_loss", optional(s.quality_loss)},
          {"bits_per_byte", optional(s.bits_per_byte)},
          {"loss_percent", optional(s.loss_percent())},
          {"loss_interval", interval_json(s.shown_interval())},
          {"kl_to_baseline", optional(s.kl_to_baseline)},
          {"top1_agreement", optional(s.top1_agreement)},
          {"expert_load_cv", optional(s.expert_load_cv)},
          {"gpu_util", s.gpu_utilisation},
          {"mem_util", s.memory_utilisation},
          {"peak_memory_bytes", s.peak_memory_bytes ? json(*s.peak_memory_bytes) : json(nullptr)},
          {"extrapolated_share", s.extrapolated_share},
          {"fallbacks", s.fallbacks},
          {"fallback_share", s.fallback_share},
          {"serving", serving_json(s.serving)},
          {"targets", targets}};
}

const ExpertTimeline* timeline_of(const std::vector<StrategyTimeline>& all,
                                  const std::string& strategy) {
  const auto found = std::find_if(all.begin(), all.end(), [&](const StrategyTimeline& one) {
    return one.strategy == strategy;
  });
  return found == all.end() ? nullptr : &found->timeline;
}

json strategy_json(const RunData& run, const StrategySummary& s, std::size_t points,
                   std::size_t cells) {
  json out = {{"name", s.name}, {"figures", figures_json(s)}, {"lines", json::object()}};
  if (run.ticks) {
    for (const StrategyTicks& ticks : run.ticks->strategies) {
      if (ticks.name != s.name) continue;
      out["lines"] = lines_json(ticks, points);
      out["steps"] = step_distribution_json(ticks);
      out["ticks"] = ticks.count();
      out["thinned"] = points < ticks.count();
    }
  }
  if (const auto* usage = timeline_of(run.usage, s.name)) {
    out["load"] = map_json(*usage, MapOf::kLoad, cells);
  }
  if (const auto* bias = timeline_of(run.bias, s.name)) {
    out["bias"] = map_json(*bias, MapOf::kBias, cells);
  }
  return out;
}

json targets_json(const RunData& run) {
  json targets = json::object();
  if (!run.ticks) return targets;
  const Targets& t = run.ticks->targets;
  if (t.power) targets["power"] = t.power->value;
  if (t.temperature) targets["temperature"] = t.temperature->value;
  if (t.step_time) targets["step"] = 1e3 * t.step_time->value;
  if (t.between_tokens) targets["between"] = 1e3 * t.between_tokens->value;
  if (t.to_first_token) targets["first"] = 1e3 * t.to_first_token->value;
  return targets;
}

json run_json(const RunData& run, std::size_t points, std::size_t cells) {
  json strategies = json::array();
  for (const StrategySummary& s : run.summary.strategies) {
    strategies.push_back(strategy_json(run, s, points, cells));
  }
  json disturbances = json::array();
  for (const DisturbedTime& d : run.disturbances) {
    disturbances.push_back({{"from", d.from}, {"to", d.to}, {"name", d.name}, {"words", d.words}});
  }
  json rows = json::array();
  for (const Setting& setting : settings(run.config)) {
    rows.push_back({setting.name, setting.value});
  }
  return {{"name", run.name},
          {"folder", run.folder},
          {"device", run.summary.device},
          {"simulated", run.summary.simulated},
          {"seed", run.summary.seed},
          {"costs", run.summary.costs},
          {"interrupted", run.interrupted},
          {"verdict", verdict(run)},
          {"notes", run.notes},
          {"targets", targets_json(run)},
          {"disturbances", disturbances},
          {"strategies", strategies},
          {"settings", rows}};
}

}  // namespace

json report_json(const std::vector<RunData>& runs, const std::string& version) {
  const std::size_t points = points_a_line(runs);
  std::size_t maps = 1;
  for (const RunData& run : runs) maps += run.usage.size();
  json all = json::array();
  for (const RunData& run : runs) all.push_back(run_json(run, points, kMapCells / maps));
  json out = {{"version", version}, {"held_percent", 100 * kHeldShare}, {"runs", all}};
  if (runs.size() == 2) {
    json rows = json::array();
    for (const SettingDifference& d : differing_settings(runs[0].config, runs[1].config)) {
      rows.push_back({d.name, d.a, d.b});
    }
    out["differing_settings"] = rows;
  }
  return out;
}

}  // namespace thermoe
