// SPDX-License-Identifier: Apache-2.0
#include "run/recorded_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/csv_reader.h"
#include "core/errors.h"
#include "core/json_file.h"
#include "report/metrics_columns.h"

namespace thermoe {
namespace {

constexpr double kMostExperts = 1e6, kMostSeconds = 1e6, kMostWatts = 1e6, kMostSteps = 1e9,
                 kMostCelsius = 1e3;

/// The columns of metrics.csv that a replay reads.
class Columns {
 public:
  explicit Columns(const CsvReader& csv) : csv_(csv) {
    for (int l = 0;; ++l) {
      const auto place = csv.find(active_experts_column(l));
      if (!place) break;
      layers_.push_back(*place);
    }
    if (layers_.empty()) csv.need(active_experts_column(0));
  }

  /// SI units.
  std::optional<double> get(Metric metric) const {
    return metric_value(csv_, csv_.need(column_name(metric)), metric);
  }
  /// Within [0, most).
  double need(Metric metric, double most) const {
    return within(need(get(metric), column_name(metric)), most, column_name(metric));
  }
  /// The same, or nothing where a row has none.
  std::optional<double> get(Metric metric, double most) const {
    const auto value = get(metric);
    return value ? std::optional(within(*value, most, column_name(metric))) : std::nullopt;
  }
  std::vector<int> active() const {
    std::vector<int> active;
    for (std::size_t l = 0; l < layers_.size(); ++l) {
      const std::string name = active_experts_column(static_cast<int>(l));
      active.push_back(
          static_cast<int>(within(need(csv_.number(layers_[l]), name), kMostExperts, name)));
    }
    return active;
  }
  [[noreturn]] void refuse(std::string_view column, const std::string& problem) const {
    throw FormatError(csv_.path(), fmt::format("line {}, column {}", csv_.line(), column), problem);
  }

 private:
  double within(double value, double most, std::string_view column) const {
    if (value >= 0.0 && value < most) return value;
    refuse(column, fmt::format("is {:g}, must lie in [0, {:g})", value, most));
  }
  double need(const std::optional<double>& cell, std::string_view column) const {
    if (!cell) refuse(column, "is empty; every row of a run has it");
    return *cell;
  }

  const CsvReader& csv_;
  std::vector<std::size_t> layers_{};
};

RecordedTick read_tick(const Columns& columns, Seconds before) {
  RecordedTick tick{
      .at = Seconds(columns.need(Metric::kTime, kMostSeconds)),
      .steps = columns.need(Metric::kSteps, kMostSteps),
      .period = Seconds(columns.need(Metric::kStepPeriod, kMostSeconds)),
      .active = columns.active(),
      .disturbance = {.background_power = Watts(columns.need(Metric::kBackgroundPower, kMostWatts)),
                      .bandwidth_share = columns.need(Metric::kBandwidthTaken, 1.0),
                      .ambient_offset = Celsius(columns.get(Metric::kAmbientOffset).value_or(0.0))},
      .step_time = Seconds(columns.get(Metric::kStepTime, kMostSeconds).value_or(0.0))};
  tick.length = tick.at - before;
  if (tick.length <= Seconds(0)) {
    columns.refuse(column_name(Metric::kTime), fmt::format("is {}, not after the row before ({})",
                                                           tick.at.value, before.value));
  }
  if (const auto power = columns.get(Metric::kPower, kMostWatts)) tick.power = Watts(*power);
  if (const auto degrees = columns.get(Metric::kTemperature, kMostCelsius)) {
    tick.temperature = Celsius(*degrees);
  }
  return tick;
}

}  // namespace

RecordedRun read_recorded_run(const std::string& folder) {
  const std::string path = folder + "/config.json";
  if (!std::filesystem::exists(path)) {
    throw UsageError(
        fmt::format("{}: holds no config.json; name the folder of a run (thermoe run)", folder));
  }
  const nlohmann::json config = read_json_file(path);
  JsonObject root(config, path);
  JsonObject machine = root.object("machine");
  RecordedRun run{.folder = folder,
                  .device = machine.string("device"),
                  .simulated = root.boolean_or("simulated", true)};
  root.object("experiment");
  run.experiment = experiment_from(config.at("experiment"), path);

  CsvReader csv(folder + "/metrics.csv");
  const Columns columns(csv);
  const std::size_t strategy = csv.need(column_name(Metric::kStrategy));
  while (csv.next()) {
    if (run.turns.empty() || run.turns.back().name != csv.cell(strategy)) {
      run.turns.push_back({.name = std::string(csv.cell(strategy))});
    }
    std::vector<RecordedTick>& ticks = run.turns.back().ticks;
    ticks.push_back(read_tick(columns, ticks.empty() ? Seconds(0) : ticks.back().at));
  }
  if (run.turns.empty()) {
    throw FormatError(csv.path(), "", "holds no complete row: the run ended before its first tick");
  }
  return run;
}

std::vector<HeatTrace> heat_traces(const RecordedRun& run) {
  std::vector<HeatTrace> traces;
  for (const RecordedTurn& turn : run.turns) {
    HeatTrace trace;
    for (const RecordedTick& tick : turn.ticks) {
      if (!tick.power || !tick.temperature) continue;
      trace.push_back({tick.at, *tick.power, *tick.temperature});
    }
    if (!trace.empty()) traces.push_back(std::move(trace));
  }
  return traces;
}

}  // namespace thermoe
