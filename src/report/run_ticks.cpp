// SPDX-License-Identifier: Apache-2.0
#include "report/run_ticks.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/errors.h"
#include "report/csv_reader.h"
#include "report/target_statistics.h"

namespace thermoe {
namespace {

constexpr auto kColumns = static_cast<std::size_t>(TickColumn::kCount);
constexpr double kAbsent = std::numeric_limits<double>::quiet_NaN();

constexpr std::array<std::string_view, kColumns> kNames = {"time_s",
                                                           "power_true_w",
                                                           "power_true_1s_w",
                                                           "temperature_true_c",
                                                           "gpu_util_true",
                                                           "mem_util_true",
                                                           "steps",
                                                           "tokens",
                                                           "step_time_ms",
                                                           "bits_per_byte",
                                                           "baseline_bits_per_byte",
                                                           "kl_to_baseline_nats",
                                                           "top1_agreement",
                                                           "active_experts",
                                                           "expert_load_cv",
                                                           "lambda",
                                                           "loss_total",
                                                           "loss_power",
                                                           "loss_temperature",
                                                           "loss_latency",
                                                           "loss_throughput",
                                                           "loss_quality",
                                                           "violation"};

/// Mean over the values that are there; absent where none is.
std::optional<double> mean(std::span<const double> values) {
  double sum = 0.0;
  std::size_t count = 0;
  for (const double value : values) {
    if (std::isnan(value)) continue;
    sum += value;
    ++count;
  }
  if (count == 0) return std::nullopt;
  return sum / static_cast<double>(count);
}

double highest(std::span<const double> values) {
  double most = -std::numeric_limits<double>::infinity();
  for (const double value : values) {
    if (value > most) most = value;
  }
  return std::isfinite(most) ? most : 0.0;
}

Targets read_targets(const CsvReader& csv) {
  const auto value = [&](const char* name) { return csv.number(csv.need(name)); };
  Targets targets;
  if (const auto power = value("power_target_w")) targets.power = Watts(*power);
  if (const auto degrees = value("temperature_target_c")) targets.temperature = Celsius(*degrees);
  if (const auto step = value("step_target_ms")) targets.step_time = Seconds(*step / 1e3);
  return targets;
}

/// Finds the strategy of a row, which nearly always is that of the row before.
StrategyTicks& ticks_of(std::vector<StrategyTicks>& all, std::string_view name) {
  if (!all.empty() && all.back().name == name) return all.back();
  const auto found = std::find_if(all.begin(), all.end(),
                                  [&](const StrategyTicks& ticks) { return ticks.name == name; });
  if (found != all.end()) return *found;
  return all.emplace_back(StrategyTicks{.name = std::string(name)});
}

TargetOutcome outcome(TargetOutcome::Kind kind, double target, std::span<const double> raw,
                      std::span<const double> means) {
  return {.kind = kind,
          .target = target,
          .violation_fraction = share_above(means, upper_limit(kind, target)).value_or(0.0),
          .mean = mean(raw).value_or(0.0),
          .steady = mean(raw.subspan(raw.size() * 3 / 4)).value_or(0.0),
          .highest = highest(means)};
}

std::vector<TargetOutcome> outcomes(const StrategyTicks& ticks, const Targets& targets,
                                    Seconds tick) {
  using Kind = TargetOutcome::Kind;
  std::vector<TargetOutcome> held;
  if (targets.power) {
    held.push_back(outcome(Kind::kPower, targets.power->value, ticks[TickColumn::kPower],
                           ticks[TickColumn::kPower1s]));
  }
  if (targets.temperature) {
    const auto temperature = ticks[TickColumn::kTemperature];
    held.push_back(
        outcome(Kind::kTemperature, targets.temperature->value, temperature, temperature));
  }
  if (targets.step_time) {
    const auto steps = ticks[TickColumn::kStepTime];
    const Seconds window = std::max(Seconds(1.0), tick);
    held.push_back(outcome(Kind::kStepTime, 1e3 * targets.step_time->value, steps,
                           moving_mean(steps, window, tick)));
  }
  return held;
}

}  // namespace

std::string_view column_name(TickColumn column) { return kNames[static_cast<std::size_t>(column)]; }

RunTicks read_run_ticks(const std::string& path) {
  CsvReader csv(path);
  const std::size_t strategy = csv.need("strategy");
  const std::size_t simulated = csv.need("simulated");
  const std::size_t fallback = csv.need("fallback");
  std::array<std::size_t, kColumns> place{};
  for (std::size_t c = 0; c < kColumns; ++c) place[c] = csv.need(kNames[c]);

  RunTicks run;
  bool fallen = false;
  while (csv.next()) {
    if (run.strategies.empty()) {
      run.targets = read_targets(csv);
      run.simulated = csv.number(simulated).value_or(1.0) != 0.0;
    }
    StrategyTicks& ticks = ticks_of(run.strategies, csv.cell(strategy));
    for (std::size_t c = 0; c < kColumns; ++c) {
      ticks.columns[c].push_back(csv.number(place[c]).value_or(kAbsent));
    }
    if (std::isnan(ticks.columns.front().back())) {
      throw FormatError(path, fmt::format("line {}, column time_s", csv.line()),
                        "is empty; every row has its time");
    }
    if (ticks.count() == 1) fallen = false;
    const bool now = !csv.cell(fallback).empty();
    if (now) ++ticks.fallen_ticks;
    if (now && !fallen) ++ticks.fallbacks;
    fallen = now;
  }
  run.torn = csv.torn();
  if (run.strategies.empty()) {
    throw FormatError(path, "", "holds no complete row: the run ended before its first tick did");
  }
  return run;
}

StrategySummary summarise_ticks(const StrategyTicks& ticks, const Targets& targets) {
  THERMOE_EXPECT(ticks.count() > 0, "{}: no tick was recorded", ticks.name);
  const auto time = ticks[TickColumn::kTime];
  const auto power = ticks[TickColumn::kPower];
  const auto tokens = ticks[TickColumn::kTokens];
  const auto steps = ticks[TickColumn::kSteps];
  const auto step_time = ticks[TickColumn::kStepTime];
  double energy = 0.0;
  double decoded = 0.0;
  std::vector<Weighted> step_times;
  for (std::size_t i = 0; i < ticks.count(); ++i) {
    const double length = time[i] - (i > 0 ? time[i - 1] : 0.0);
    if (!std::isnan(power[i])) energy += power[i] * length;
    if (!std::isnan(tokens[i])) decoded += tokens[i];
    if (!std::isnan(step_time[i]) && steps[i] > 0) step_times.push_back({step_time[i], steps[i]});
  }
  const double duration = time.back();
  const auto count = static_cast<double>(ticks.count());
  return {.name = ticks.name,
          .tokens_per_second = duration > 0 ? decoded / duration : 0.0,
          .joules_per_token = decoded > 0 ? energy / decoded : 0.0,
          .mean_power = Watts(duration > 0 ? energy / duration : 0.0),
          .max_temperature = Celsius(highest(ticks[TickColumn::kTemperature])),
          .p50_step = Seconds(percentile(step_times, 0.50).value_or(0.0) / 1e3),
          .p99_step = Seconds(percentile(step_times, 0.99).value_or(0.0) / 1e3),
          .mean_active_experts = mean(ticks[TickColumn::kActive]).value_or(0.0),
          .bits_per_byte = mean(ticks[TickColumn::kBits]).value_or(0.0),
          .baseline_bits_per_byte = mean(ticks[TickColumn::kBaselineBits]),
          .kl_to_baseline = mean(ticks[TickColumn::kKl]),
          .top1_agreement = mean(ticks[TickColumn::kTop1]),
          .expert_load_cv = mean(ticks[TickColumn::kLoadCv]).value_or(0.0),
          .gpu_utilisation = mean(ticks[TickColumn::kGpuUtilisation]).value_or(0.0),
          .memory_utilisation = mean(ticks[TickColumn::kMemoryUtilisation]).value_or(0.0),
          .fallbacks = ticks.fallbacks,
          .fallback_share = static_cast<double>(ticks.fallen_ticks) / count,
          .targets = duration > 0 ? outcomes(ticks, targets, Seconds(duration / count))
                                  : std::vector<TargetOutcome>{}};
}

}  // namespace thermoe
