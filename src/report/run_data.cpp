// SPDX-License-Identifier: Apache-2.0
#include "report/run_data.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "core/errors.h"
#include "core/json_file.h"
#include "core/turn_name.h"
#include "report/expert_load.h"
#include "report/summarise.h"
#include "report/summary_reader.h"

namespace thermoe {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr double kMostRounds = 100;  // of an experiment

/// A member of the config, or null. The report shows the config as it is; only what it draws from
/// is looked at here, and a config of another shape draws nothing.
json member(const json& object, const char* name) {
  return object.is_object() ? object.value(name, json()) : json();
}

double number(const json& object, const char* name) {
  const json value = member(object, name);
  return value.is_number() ? value.get<double>() : 0.0;
}

std::string text(const json& object, const char* name) {
  const json value = member(object, name);
  return value.is_string() ? value.get<std::string>() : std::string();
}

DisturbedTime disturbed_time(const json& d) {
  DisturbedTime out{.from = number(d, "from_s"), .to = number(d, "to_s")};
  const std::string kind = text(d, "kind");
  if (kind == "background") {
    out.name = "other tenant";
    const double share = number(d, "bandwidth_share");
    const double fraction = number(d, "power_fraction");
    out.words = fraction > 0
                    ? fmt::format("another tenant takes {:g} % of the watts between idle and limit",
                                  100 * fraction)
                    : fmt::format("another tenant takes {:g} W", number(d, "power_w"));
    if (share > 0) out.words += fmt::format(" and {:g} % of the memory bandwidth", 100 * share);
  } else if (kind == "ambient") {
    out.name = "warmer air";
    out.words = fmt::format("the air is {:g} °C warmer", number(d, "offset_c"));
  } else if (kind == "sensor_dropout") {
    out.name = "sensors silent";
    out.words = "the sensors say nothing";
  } else if (kind == "sensor_freeze") {
    out.name = "sensors frozen";
    out.words = "the sensors repeat their last values";
  } else if (kind == "sensor_nan") {
    out.name = "sensors NaN";
    out.words = "the sensors say NaN";
  } else {
    out.name = out.words = kind;
  }
  return out;
}

void read_config(RunData& run) {
  const std::string path = run.folder + "/config.json";
  if (!fs::exists(path)) {
    run.notes.push_back("There is no config.json: settings and disturbances are not known");
    return;
  }
  run.config = read_json_file(path);
  const json experiment = member(run.config, "experiment");
  const std::string name = text(experiment, "name");
  if (!name.empty()) run.name = name;
  if (const double planned = number(experiment, "duration_s"); planned > 0) {
    run.planned_seconds = planned;
  }
  const int rounds = static_cast<int>(std::clamp(number(experiment, "rounds"), 1.0, kMostRounds));
  for (int round = 1; round <= rounds; ++round) {
    for (const json& strategy : member(experiment, "strategies")) {
      if (!strategy.is_string()) continue;
      run.planned.push_back(
          to_string(TurnName{.strategy = strategy.get<std::string>(), .round = round}));
    }
  }
  for (const json& d : member(experiment, "disturbances")) {
    if (const DisturbedTime time = disturbed_time(d); time.to > time.from) {
      run.disturbances.push_back(time);
    }
  }
}

void note_torn(RunData& run, const char* file) {
  run.notes.push_back(fmt::format(
      "The last line of {} was cut short, as when a run is killed; it is left out", file));
}

std::vector<StrategyTimeline> read_timelines(RunData& run, const char* file, const char* unit) {
  const std::string path = run.folder + "/" + file;
  if (!fs::exists(path)) return {};
  bool torn = false;
  auto timelines = read_expert_timelines(path, unit, &torn);
  if (torn) note_torn(run, file);
  return timelines;
}

const StrategyTicks* ticks_of(const RunData& run, const std::string& strategy) {
  const auto& all = run.ticks->strategies;
  const auto found = std::ranges::find(all, strategy, &StrategyTicks::name);
  return found == all.end() ? nullptr : &*found;
}

void note_missing_ends(RunData& run) {
  constexpr double kLongestOut = 5.0;  // seconds, of a machine that stood still
  double end = 0.0;
  for (const StrategyTicks& strategy : run.ticks->strategies) {
    end = std::max(end, strategy[Metric::kTime].back());
  }
  for (const StrategySummary& summary : run.summary.strategies) {
    const StrategyTicks* ticks = ticks_of(run, summary.name);
    const double last = ticks == nullptr ? 0.0 : (*ticks)[Metric::kTime].back();
    if (last + kLongestOut >= end) continue;
    run.notes.push_back(fmt::format(
        "metrics.csv ends {:.1f} s into {}, others go on to {:.1f} s: rows are missing, and the "
        "plots show what is left",
        last, summary.name, end));
  }
}

/// A finished run writes all its ticks: fewer of a strategy mean that the file was cut afterwards.
/// In real time a tick may fall out, as the one before took too long; not so the end of a strategy.
void note_missing_ticks(RunData& run) {
  if (!run.summary.simulated) return note_missing_ends(run);
  std::size_t most = 0;
  for (const StrategyTicks& strategy : run.ticks->strategies) {
    most = std::max(most, strategy.count());
  }
  for (const StrategySummary& summary : run.summary.strategies) {
    const StrategyTicks* found = ticks_of(run, summary.name);
    const std::size_t ticks = found == nullptr ? 0 : found->count();
    if (ticks == most) continue;
    run.notes.push_back(fmt::format(
        "metrics.csv holds {} ticks of {} where others have {}: rows are missing, and the plots "
        "show what is left",
        ticks, summary.name, most));
  }
}

/// Of all tokens of the run, mean over layers, as the recorder counts it.
double mean_load_cv(const ExpertTimeline& timeline) {
  double sum = 0.0;
  std::vector<std::int64_t> counts(timeline.experts());
  for (std::size_t l = 0; l < timeline.layers(); ++l) {
    for (std::size_t e = 0; e < counts.size(); ++e) {
      double tokens = 0.0;
      for (std::size_t s = 0; s < timeline.spans(); ++s) tokens += timeline.sum(l, s, e);
      counts[e] = std::llround(tokens);
    }
    sum += expert_load(counts).coefficient_of_variation;
  }
  return timeline.layers() > 0 ? sum / static_cast<double>(timeline.layers()) : 0.0;
}

void summarise_interrupted(RunData& run) {
  const RunTicks& ticks = *run.ticks;
  run.interrupted = true;
  run.summary.simulated = ticks.simulated;
  run.summary.device = text(member(run.config, "machine"), "device");
  if (run.summary.device.empty() && ticks.simulated) run.summary.device = "simulated GPU";
  const json seed = member(member(run.config, "experiment"), "seed");
  run.summary.seed = seed.is_number_unsigned() ? seed.get<std::uint64_t>() : 0;
  run.summary.costs = text(run.config, "costs");
  for (const StrategyTicks& strategy : ticks.strategies) {
    const Seconds tick(strategy[Metric::kTime].back() / static_cast<double>(strategy.count()));
    StrategySummary summary = summarise(strategy, {.targets = ticks.targets, .tick = tick});
    for (const StrategyTimeline& usage : run.usage) {
      if (usage.strategy == strategy.name) summary.expert_load_cv = mean_load_cv(usage.timeline);
    }
    run.summary.strategies.push_back(std::move(summary));
  }
}

/// The folder's own name, also for "runs/demo-1/" and ".".
std::string folder_name(const std::string& folder) {
  const fs::path path = fs::weakly_canonical(folder);
  return path.has_filename() ? path.filename().string() : path.parent_path().filename().string();
}

}  // namespace

RunData read_run(const std::string& folder) {
  std::error_code ignored;
  if (!fs::is_directory(folder, ignored)) {
    throw UsageError(
        fmt::format("{}: {}; name a folder that `thermoe run` wrote, such as runs/demo-1", folder,
                    fs::exists(folder, ignored) ? "is not a folder" : "there is no such folder"));
  }
  RunData run{.folder = folder, .name = folder_name(folder)};
  const bool complete = fs::exists(folder + "/summary.json");
  const bool ticked = fs::exists(folder + "/metrics.csv");
  if (!complete && !ticked) {
    throw UsageError(fmt::format(
        "{}: holds no run, neither summary.json nor metrics.csv; name a folder that `thermoe run` "
        "wrote",
        folder));
  }
  read_config(run);
  if (ticked) {
    run.ticks = read_run_ticks(folder + "/metrics.csv");
    if (run.ticks->torn) note_torn(run, "metrics.csv");
  } else {
    run.notes.push_back("There is no metrics.csv: nothing can be drawn over time");
  }
  run.usage = read_timelines(run, "expert_usage.csv", "tokens");
  run.bias = read_timelines(run, "expert_bias.csv", "bias");
  if (complete) {
    SavedSummary saved = read_summary(folder);
    run.summary = std::move(saved.summary);
    run.notes.insert(run.notes.begin(), saved.notes.begin(), saved.notes.end());
    if (ticked) note_missing_ticks(run);
  } else {
    summarise_interrupted(run);
  }
  return run;
}

}  // namespace thermoe
