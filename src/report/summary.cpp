// SPDX-License-Identifier: Apache-2.0
#include "report/summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/atomic_file.h"
#include "core/json_file.h"
#include "core/turn_name.h"

namespace thermoe {
namespace {

using nlohmann::json;

constexpr double kBand = 0.05;
constexpr double kTemperatureBand = 1.0;  // degrees

json optional(const std::optional<double>& value) { return value ? json(*value) : json(nullptr); }
json optional(const std::optional<Seconds>& value) {
  return value ? json(value->value) : json(nullptr);
}

json milliseconds(const std::optional<Seconds>& value) {
  return value ? json(1e3 * value->value) : json(nullptr);
}

json interval_json(const std::optional<Interval>& interval) {
  return interval ? json{interval->low, interval->high} : json(nullptr);
}

const char* unit(TargetOutcome::Kind kind) {
  switch (kind) {
    case TargetOutcome::Kind::kPower:
      return "W";
    case TargetOutcome::Kind::kTemperature:
      return "\u00b0C";
    case TargetOutcome::Kind::kStepTime:
      return "ms a step";
    case TargetOutcome::Kind::kBetweenTokens:
      return "ms between tokens";
    case TargetOutcome::Kind::kFirstToken:
      return "ms to the first token";
  }
  return "";
}

json latency_json(const std::optional<Latency>& latency) {
  if (!latency) return nullptr;
  return {{"mean_ms", 1e3 * latency->mean.value},
          {"p50_ms", 1e3 * latency->p50.value},
          {"p99_ms", 1e3 * latency->p99.value}};
}

json serving_json(const ServingFigures& serving) {
  return {{"asked_tokens_per_second", optional(serving.asked_tokens_per_second)},
          {"goodput_tokens_per_second", serving.goodput},
          {"time_to_first_token", latency_json(serving.to_first_token)},
          {"time_between_tokens", latency_json(serving.between_tokens)},
          {"batch", serving.batch},
          {"rows", serving.rows},
          {"requests_arrived", serving.arrived},
          {"requests_finished", serving.finished},
          {"waiting", serving.waiting},
          {"most_waiting", serving.most_waiting},
          {"still_waiting", serving.still_waiting},
          {"period_ms", 1e3 * serving.period.value},
          {"lambda", serving.lambda}};
}

json strategy_json(const StrategySummary& s) {
  const TargetOutcome* power = s.target(TargetOutcome::Kind::kPower);
  const TargetOutcome* first = s.targets.empty() ? nullptr : &s.targets.front();
  json out = {
      {"name", s.name},
      {"tokens_per_second", s.tokens_per_second},
      {"joules_per_token", optional(s.joules_per_token)},
      {"mean_power_w", s.energy_share > 0 ? json(s.mean_power.value) : json(nullptr)},
      {"power_target_w", power != nullptr ? json(power->target) : json(nullptr)},
      {"power_violation_fraction",
       power != nullptr ? json(power->violation_fraction) : json(nullptr)},
      {"power_over_target_fraction",
       power != nullptr ? optional(power->over_target_fraction) : json(nullptr)},
      {"settling_time_s", first != nullptr ? optional(first->settling) : json(nullptr)},
      {"max_temperature_c", s.max_temperature.value},
      {"p50_step_ms", milliseconds(s.p50_step)},
      {"p99_step_ms", milliseconds(s.p99_step)},
      {"mean_active_experts", s.mean_active_experts},
      {"kept_mass", optional(s.kept_mass)},
      {"quality_loss_nats", optional(s.quality_loss)},
      {"bits_per_byte", optional(s.bits_per_byte)},
      {"quality_loss_percent", optional(s.loss_percent())},
      {"quality_loss_interval_percent", interval_json(s.loss_interval)},
      {"kl_to_baseline", optional(s.kl_to_baseline)},
      {"expert_load_cv", optional(s.expert_load_cv)},
      {"gpu_util", s.gpu_utilisation},
      {"mem_util", s.memory_utilisation},
      {"peak_memory_bytes", s.peak_memory_bytes ? json(*s.peak_memory_bytes) : json(nullptr)},
      {"fallbacks", s.fallbacks}};
  if (s.serving) out["serving"] = serving_json(*s.serving);
  return out;
}

json target_json(const TargetOutcome& target) {
  return {{"target", kTargetKinds[static_cast<std::size_t>(target.kind)]},
          {"value", target.target},
          {"violation_fraction", target.violation_fraction},
          {"over_target_fraction", optional(target.over_target_fraction)},
          {"settling_time_s", optional(target.settling)},
          {"mean", target.mean},
          {"steady", target.steady},
          {"highest_1s_mean", target.highest},
          {"best_held", optional(target.best_held)}};
}

/// A queue that grows is served later and later.
void add_notes_of_serving(const StrategySummary& s, std::vector<std::string>& lines) {
  constexpr double kServed = 0.9;  // the rest may be under way when the run ends
  if (!s.serving || !(s.serving->asked_tokens_per_second > 0.0)) return;
  const double asked = *s.serving->asked_tokens_per_second;
  if (s.tokens_per_second >= kServed * asked) return;
  lines.push_back(
      fmt::format("{}: served {:.0f} of the {:.0f} tokens/s that were asked for; {:.0f} requests "
                  "waited at the end",
                  s.name, s.tokens_per_second, asked, s.serving->still_waiting));
}

/// One sentence for all: where costs of one batch are known, every strategy leaves it.
void add_note_of_extrapolation(const Summary& summary, std::vector<std::string>& lines) {
  std::vector<std::string> names;
  double least = 1.0, most = 0.0;
  for (const StrategySummary& s : summary.strategies) {
    if (s.extrapolated_share <= 0.01) continue;
    names.push_back(s.name);
    least = std::min(least, s.extrapolated_share);
    most = std::max(most, s.extrapolated_share);
  }
  if (names.empty()) return;
  std::string share = fmt::format("{:.0f}", 100 * least);
  const std::string greatest = fmt::format("{:.0f}", 100 * most);
  if (greatest != share) share += " to " + greatest;
  lines.push_back(
      fmt::format("{}: {} % of the ticks ran at loads beyond the {}machine's profiled table: their "
                  "costs are extrapolated",
                  fmt::join(names, ", "), share, summary.simulated ? "simulated " : ""));
}

void add_notes_of_real_time(const StrategySummary& s, std::vector<std::string>& lines) {
  const auto share = [](double of_one) { return fmt::format("{:.1f} %", 100 * of_one); };
  if (s.late_share.value_or(0.0) > 0.001) {
    lines.push_back(fmt::format("{}: {} of the steps began late", s.name, share(*s.late_share)));
  }
  if (s.late_decision_share.value_or(0.0) > 0.0) {
    lines.push_back(
        fmt::format("{}: in {} of the ticks the controller was still busy with an earlier one: the "
                    "plan in force stayed",
                    s.name, share(*s.late_decision_share)));
  }
  if (s.energy_share <= 0.0) {
    lines.push_back(fmt::format(
        "{}: its energy is not known: there is no mean power, no J/token and no saying whether a "
        "power cap was held",
        s.name));
  } else if (s.energy_share < 0.999) {
    lines.push_back(fmt::format(
        "{}: for {} of the time its energy is not known: power and J/token are those of the rest",
        s.name, share(1.0 - s.energy_share)));
  }
  if (s.near_ties > 0) {
    lines.push_back(
        fmt::format("{}: {} pick{} of CPU and GPU differed between experts whose scores are as "
                    "good as equal, which the contract allows",
                    s.name, s.near_ties, s.near_ties == 1 ? "" : "s"));
  }
}

}  // namespace

double upper_limit(TargetOutcome::Kind kind, double target) {
  return kind == TargetOutcome::Kind::kTemperature ? target + kTemperatureBand
                                                   : target * (1 + kBand);
}

double lower_limit(TargetOutcome::Kind kind, double target) {
  return kind == TargetOutcome::Kind::kTemperature ? target - kTemperatureBand
                                                   : target * (1 - kBand);
}

const TargetOutcome* StrategySummary::target(TargetOutcome::Kind kind) const {
  for (const TargetOutcome& outcome : targets) {
    if (outcome.kind == kind) return &outcome;
  }
  return nullptr;
}

std::optional<Interval> StrategySummary::shown_interval() const {
  return turn_named(name).strategy == "BASELINE" ? std::nullopt : loss_interval;
}

std::optional<double> StrategySummary::loss_percent() const {
  if (!bits_per_byte || !baseline_bits_per_byte || !(*baseline_bits_per_byte > 0)) {
    return std::nullopt;
  }
  return 100 * (*bits_per_byte / *baseline_bits_per_byte - 1);
}

json to_json(const Summary& summary) {
  json strategies = json::array();
  for (const StrategySummary& s : summary.strategies) strategies.push_back(strategy_json(s));
  return {{"schema", Summary::kSchema},
          {"device", summary.device},
          {"simulated", summary.simulated},
          {"seed", summary.seed},
          {"strategies", strategies}};
}

json details_json(const Summary& summary) {
  json strategies = json::array();
  for (const StrategySummary& s : summary.strategies) {
    json targets = json::array();
    for (const TargetOutcome& target : s.targets) targets.push_back(target_json(target));
    strategies.push_back({{"name", s.name},
                          {"targets", targets},
                          {"baseline_bits_per_byte", optional(s.baseline_bits_per_byte)},
                          {"top1_agreement", optional(s.top1_agreement)},
                          {"extrapolated_share", s.extrapolated_share},
                          {"late_share", optional(s.late_share)},
                          {"repeated_share", optional(s.repeated_share)},
                          {"late_decision_share", optional(s.late_decision_share)},
                          {"energy_share", s.energy_share},
                          {"near_ties", s.near_ties},
                          {"fallback_share", s.fallback_share},
                          {"fallback_reasons", s.fallback_reasons}});
  }
  return {{"schema", Summary::kSchema},
          {"costs", summary.costs},
          {"notes", notes(summary)},
          {"strategies", strategies}};
}

void write_summary(const std::string& folder, const Summary& summary) {
  write_file_atomically(folder + "/details.json", json_text(details_json(summary), 2) + "\n");
  write_file_atomically(folder + "/summary.json", json_text(to_json(summary), 2) + "\n");
}

std::string_view exceedance_definition() {
  return "Violation: share of the time in which the mean of the last second, of the true value, "
         "exceeds 1.05 x the target (temperature: by 1 degree); above target: the same for the "
         "target itself. Start-up and transients included";
}

std::string_view loss_definition() {
  return "Against BASELINE: bits/byte on the same bytes, with a 95 % interval over the choice of "
         "text (bootstrap of whole pieces of documents)";
}

std::string_view mass_definition() {
  return "Kept mass: the share of a token's own top-k router probability that its experts hold; "
         "loss: the mean over tokens and layers of -ln of it. A recorded router was routed, no "
         "text was decoded: there are no bits/byte";
}

std::string_view serving_definition() {
  return "Goodput: tokens/s of the finished requests that were served within 5 % of the latency "
         "targets, by their own first token and mean time between tokens; without such a target of "
         "all that finished. Batch: sequences of a decode step; waiting: requests in the queue at "
         "the end of a tick; period: the shortest from step to step that was decided";
}

std::vector<std::string> notes(const Summary& summary) {
  std::vector<std::string> lines;
  for (const StrategySummary& s : summary.strategies) {
    for (const TargetOutcome& target : s.targets) {
      if (!target.best_held) continue;
      lines.push_back(
          fmt::format("{}: the cap of {:.4g} {} cannot be reached{}; the best held was {:.4g} {}",
                      s.name, target.target, unit(target.kind), s.serving ? "" : " by routing",
                      *target.best_held, unit(target.kind)));
    }
    if (s.wanted_tokens_per_second && s.tokens_per_second < 0.98 * *s.wanted_tokens_per_second) {
      lines.push_back(
          fmt::format("{}: served {:.0f} of {:.0f} tokens/s: a step takes longer than its period",
                      s.name, s.tokens_per_second, *s.wanted_tokens_per_second));
    }
    add_notes_of_serving(s, lines);
    add_notes_of_real_time(s, lines);
    if (s.fallbacks == 0) continue;
    lines.push_back(fmt::format("{}: fell back {} time{}, {:.1f} % of the run, to {}", s.name,
                                s.fallbacks, s.fallbacks == 1 ? "" : "s", 100 * s.fallback_share,
                                fmt::join(s.fallback_reasons, "; to ")));
  }
  add_note_of_extrapolation(summary, lines);
  return lines;
}

}  // namespace thermoe
