// SPDX-License-Identifier: Apache-2.0
#include "report/summary_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>

#include "core/errors.h"
#include "core/json_file.h"

namespace thermoe {
namespace {

using nlohmann::json;

constexpr double kMost = 1e18;

std::optional<double> number_or_null(JsonObject& object, const std::string& name) {
  return object.optional_number(name, -kMost, kMost);
}

double number(JsonObject& object, const std::string& name) {
  return object.number(name, -kMost, kMost);
}

/// Null is known to be absent; a name that is not there is a fault of the file.
std::optional<double> nullable(JsonObject& object, const std::string& name) {
  if (object.has(name) && !object.given(name)) return std::nullopt;
  return number(object, name);
}

std::optional<Seconds> milliseconds(JsonObject& object, const std::string& name) {
  const auto value = nullable(object, name);
  return value ? std::optional(Seconds(*value / 1e3)) : std::nullopt;
}

void check_schema(JsonObject& object) {
  const auto schema = object.integer("schema", 0, INT32_MAX);
  if (schema == Summary::kSchema) return;
  throw FormatError(
      object.path(), object.key("schema"),
      fmt::format("is {}; this program reads schema {}: use the one that wrote the run", schema,
                  Summary::kSchema));
}

/// Two numbers; absent, too, in the files of older runs.
std::optional<Interval> interval_from(JsonObject& object) {
  constexpr const char* kName = "quality_loss_interval_percent";
  if (!object.given(kName)) return std::nullopt;
  const json& ends = object.array(kName);
  if (ends.size() != 2 || !ends[0].is_number() || !ends[1].is_number()) {
    throw FormatError(object.path(), object.key(kName), "must be two numbers, low and high");
  }
  return Interval{.low = ends[0], .high = ends[1]};
}

std::optional<Latency> latency_from(JsonObject& object, const std::string& name) {
  if (!object.given(name)) return std::nullopt;
  JsonObject latency = object.object(name);
  return Latency{.mean = Seconds(number(latency, "mean_ms") / 1e3),
                 .p50 = Seconds(number(latency, "p50_ms") / 1e3),
                 .p99 = Seconds(number(latency, "p99_ms") / 1e3)};
}

ServingFigures serving_from(JsonObject s) {
  return {.asked_tokens_per_second = number_or_null(s, "asked_tokens_per_second"),
          .goodput = number(s, "goodput_tokens_per_second"),
          .to_first_token = latency_from(s, "time_to_first_token"),
          .between_tokens = latency_from(s, "time_between_tokens"),
          .batch = number(s, "batch"),
          .rows = number(s, "rows"),
          .arrived = number(s, "requests_arrived"),
          .finished = number(s, "requests_finished"),
          .waiting = number(s, "waiting"),
          .most_waiting = number(s, "most_waiting"),
          .still_waiting = number(s, "still_waiting"),
          .period = Seconds(number(s, "period_ms") / 1e3),
          .lambda = number(s, "lambda")};
}

StrategySummary strategy_from(const json& value, const std::string& path, std::size_t index) {
  JsonObject s(value, path, fmt::format("/strategies/{}", index));
  const bool energy_known = s.given("mean_power_w") || !s.has("mean_power_w");  // null: it is not
  StrategySummary out{.name = s.string("name"),
                      .tokens_per_second = number(s, "tokens_per_second"),
                      .joules_per_token = nullable(s, "joules_per_token"),
                      .mean_power = Watts(energy_known ? number(s, "mean_power_w") : 0.0),
                      .energy_share = energy_known ? 1.0 : 0.0,
                      .max_temperature = Celsius(number(s, "max_temperature_c")),
                      .p50_step = milliseconds(s, "p50_step_ms"),
                      .p99_step = milliseconds(s, "p99_step_ms"),
                      .mean_active_experts = number(s, "mean_active_experts"),
                      .kept_mass = number_or_null(s, "kept_mass"),
                      .quality_loss = number_or_null(s, "quality_loss_nats"),
                      .bits_per_byte = number_or_null(s, "bits_per_byte"),
                      .kl_to_baseline = number_or_null(s, "kl_to_baseline"),
                      .expert_load_cv = number_or_null(s, "expert_load_cv"),
                      .gpu_utilisation = number(s, "gpu_util"),
                      .memory_utilisation = number(s, "mem_util"),
                      .fallbacks = static_cast<int>(s.integer("fallbacks", 0, INT32_MAX))};
  if (const auto bytes = number_or_null(s, "peak_memory_bytes")) {
    out.peak_memory_bytes = static_cast<std::uint64_t>(std::max(0.0, *bytes));
  }
  out.loss_interval = interval_from(s);
  if (s.given("serving")) out.serving = serving_from(s.object("serving"));
  // Replaced by details.json's, which knows every target.
  if (const auto target = number_or_null(s, "power_target_w")) {
    TargetOutcome power{
        .kind = TargetOutcome::Kind::kPower,
        .target = *target,
        .violation_fraction = number_or_null(s, "power_violation_fraction").value_or(0.0),
        .over_target_fraction = number_or_null(s, "power_over_target_fraction"),
        .mean = out.mean_power.value,
        .steady = out.mean_power.value};
    if (const auto settling = number_or_null(s, "settling_time_s")) {
      power.settling = Seconds(*settling);
    }
    out.targets.push_back(power);
  }
  return out;
}

TargetOutcome target_from(const json& value, const std::string& path, const std::string& key) {
  JsonObject t(value, path, key);
  const auto kind =
      std::ranges::find(kTargetKinds, t.choice("target", kTargetKinds)) - kTargetKinds.begin();
  TargetOutcome out{.kind = static_cast<TargetOutcome::Kind>(kind),
                    .target = number(t, "value"),
                    .violation_fraction = number(t, "violation_fraction"),
                    .over_target_fraction = number_or_null(t, "over_target_fraction"),
                    .mean = number(t, "mean"),
                    .steady = number(t, "steady"),
                    .highest = number(t, "highest_1s_mean"),
                    .best_held = number_or_null(t, "best_held")};
  if (const auto settling = number_or_null(t, "settling_time_s")) out.settling = Seconds(*settling);
  return out;
}

std::vector<std::string> strings_from(JsonObject& object, const std::string& name) {
  std::vector<std::string> lines;
  for (const json& line : object.array(name)) {
    if (!line.is_string()) {
      throw FormatError(object.path(), object.key(name), "must be a list of strings");
    }
    lines.push_back(line.get<std::string>());
  }
  return lines;
}

void add_details(const json& value, const std::string& path, SavedSummary& saved) {
  JsonObject details(value, path);
  check_schema(details);
  saved.summary.costs = details.string("costs");
  saved.notes = strings_from(details, "notes");
  const json& strategies = details.array("strategies");
  for (std::size_t i = 0; i < strategies.size(); ++i) {
    const std::string key = fmt::format("/strategies/{}", i);
    JsonObject detail(strategies[i], path, key);
    const std::string name = detail.string("name");
    for (StrategySummary& s : saved.summary.strategies) {
      if (s.name != name) continue;
      s.baseline_bits_per_byte = number_or_null(detail, "baseline_bits_per_byte");
      s.top1_agreement = number_or_null(detail, "top1_agreement");
      s.extrapolated_share = number(detail, "extrapolated_share");
      if (detail.given("late_share")) s.late_share = number(detail, "late_share");
      if (detail.given("repeated_share")) s.repeated_share = number(detail, "repeated_share");
      s.late_decision_share = number_or_null(detail, "late_decision_share");
      if (detail.given("energy_share")) s.energy_share = number(detail, "energy_share");
      if (detail.given("near_ties")) {
        s.near_ties = static_cast<std::uint64_t>(detail.integer("near_ties", 0, INT64_MAX));
      }
      s.fallback_share = number(detail, "fallback_share");
      s.fallback_reasons = strings_from(detail, "fallback_reasons");
      s.targets.clear();
      const json& targets = detail.array("targets");
      for (std::size_t t = 0; t < targets.size(); ++t) {
        s.targets.push_back(target_from(targets[t], path, fmt::format("{}/targets/{}", key, t)));
      }
    }
  }
}

}  // namespace

SavedSummary read_summary(const std::string& folder) {
  const std::string path = folder + "/summary.json";
  const json value = read_json_file(path);
  JsonObject root(value, path);
  check_schema(root);
  SavedSummary saved;
  saved.summary.device = root.string("device");
  saved.summary.simulated = root.boolean_or("simulated", true);
  saved.summary.seed = static_cast<std::uint64_t>(root.integer("seed", 0, INT64_MAX));
  const json& strategies = root.array("strategies");
  for (std::size_t i = 0; i < strategies.size(); ++i) {
    saved.summary.strategies.push_back(strategy_from(strategies[i], path, i));
  }
  const std::string details = folder + "/details.json";
  if (std::filesystem::exists(details)) add_details(read_json_file(details), details, saved);
  return saved;
}

}  // namespace thermoe
