// SPDX-License-Identifier: Apache-2.0
#include "report/run_ticks.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/csv_reader.h"
#include "core/errors.h"

namespace thermoe {
namespace {

constexpr double kAbsent = std::numeric_limits<double>::quiet_NaN();

std::size_t place_of(const CsvReader& csv, Metric metric) { return csv.need(column_name(metric)); }

Targets read_targets(const CsvReader& csv) {
  const auto target = [&](Metric metric) {
    return metric_value(csv, place_of(csv, metric), metric);
  };
  const auto latency = [&](Metric metric) -> std::optional<Seconds> {
    const auto place = csv.find(column_name(metric));
    const auto value = place ? metric_value(csv, *place, metric) : std::nullopt;
    return value ? std::optional(Seconds(*value)) : std::nullopt;
  };
  Targets targets;
  if (const auto power = target(Metric::kPowerTarget)) targets.power = Watts(*power);
  if (const auto degrees = target(Metric::kTemperatureTarget)) {
    targets.temperature = Celsius(*degrees);
  }
  if (const auto step = target(Metric::kStepTarget)) targets.step_time = Seconds(*step);
  targets.between_tokens = latency(Metric::kBetweenTokensTarget);
  targets.to_first_token = latency(Metric::kFirstTokenTarget);
  return targets;
}

void check_time(const CsvReader& csv, std::size_t place) {
  constexpr double kEarliest = 0.001;
  if (csv.number(place).value_or(0.0) >= kEarliest) return;
  const std::string_view cell = csv.cell(place);
  throw FormatError(csv.path(), fmt::format("line {}, column time_s", csv.line()),
                    fmt::format("is {}; every row has the time at which its tick ended, {} s or "
                                "later",
                                cell.empty() ? "empty" : cell, kEarliest));
}

/// Finds the strategy of a row, which nearly always is that of the row before.
StrategyTicks& ticks_of(std::vector<StrategyTicks>& all, std::string_view name) {
  if (!all.empty() && all.back().name == name) return all.back();
  const auto found = std::find_if(all.begin(), all.end(),
                                  [&](const StrategyTicks& ticks) { return ticks.name == name; });
  if (found != all.end()) return *found;
  return all.emplace_back(StrategyTicks{.name = std::string(name)});
}

/// The newest tick's: all that it served counts with its mean.
void add_latencies(StrategyTicks& ticks) {
  const double first_tokens = ticks[Metric::kFirstTokens].back();
  const double first = ticks[Metric::kFirstTokenTime].back();
  if (first_tokens > 0.0 && !std::isnan(first)) {
    ticks.to_first_token.push_back({first, first_tokens});
  }
  const double gap = ticks[Metric::kBetweenTokens].back();
  const double tokens = ticks[Metric::kTokens].back() - first_tokens;
  if (!std::isnan(gap) && tokens > 0.0) ticks.between_tokens.push_back({gap, tokens});
}

/// What the newest tick took: its mean power since the tick before.
double newest_energy(const StrategyTicks& ticks) {
  const auto time = ticks[Metric::kTime];
  const double before = time.size() > 1 ? time[time.size() - 2] : 0.0;
  return ticks[Metric::kPower].back() * (time.back() - before);
}

}  // namespace

RunTicks read_run_ticks(const std::string& path) {
  CsvReader csv(path);
  const std::size_t strategy = place_of(csv, Metric::kStrategy);
  const std::size_t time = place_of(csv, Metric::kTime);
  const std::size_t simulated = place_of(csv, Metric::kSimulated);
  const std::size_t fallback = place_of(csv, Metric::kFallback);
  std::vector<std::optional<std::size_t>> places;
  for (const Metric metric : StrategyTicks::kept()) {
    places.push_back(is_of_serving(metric) ? csv.find(column_name(metric))
                                           : std::optional(place_of(csv, metric)));
  }

  RunTicks run;
  while (csv.next()) {
    if (run.strategies.empty()) {
      run.targets = read_targets(csv);
      run.simulated = csv.number(simulated).value_or(1.0) != 0.0;
    }
    check_time(csv, time);
    StrategyTicks& ticks = ticks_of(run.strategies, csv.cell(strategy));
    for (std::size_t i = 0; i < places.size(); ++i) {
      const Metric metric = StrategyTicks::kept()[i];
      const auto value = places[i] ? metric_value(csv, *places[i], metric) : std::nullopt;
      ticks.column(metric).push_back(value.value_or(kAbsent));
    }
    add_latencies(ticks);
    ticks.energy.push_back(newest_energy(ticks));
    ticks.fallbacks.add(csv.cell(fallback));
  }
  run.torn = csv.torn();
  if (run.strategies.empty()) {
    throw FormatError(path, "", "holds no complete row: the run ended before its first tick did");
  }
  return run;
}

}  // namespace thermoe
