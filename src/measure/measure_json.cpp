// SPDX-License-Identifier: Apache-2.0
#include "measure/measure_json.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/json_file.h"
#include "measure/run_figures.h"

namespace thermoe {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kSchema = 1;

Json number(const std::optional<double>& value) { return value ? Json(*value) : Json(); }
template <class Tag>
Json number(const std::optional<Quantity<Tag>>& value) {
  return value ? Json(value->value) : Json();
}
Json text_or_null(const std::string& text) { return text.empty() ? Json() : Json(text); }

Json device(const DeviceMeasurement& measured) {
  const EnergyFigure& energy = measured.energy;
  Json json{{"name", measured.name}};
  if (!measured.uuid.empty()) json["uuid"] = measured.uuid;
  const char* basis = energy.basis == EnergyBasis::kCounter ? "counter" : "integrated power";
  json["energy_joules"] = number(energy.joules);
  json["energy_basis"] = energy.joules ? Json(basis) : Json();
  json["energy_absent_because"] = text_or_null(energy.absent_because);
  json["avg_power_watts"] = number(measured.mean_power);
  json["peak_power_watts"] = number(measured.peak_power);
  json["mean_temperature_celsius"] = number(measured.mean_temperature);
  json["max_temperature_celsius"] = number(measured.max_temperature);
  if (energy.covered > Seconds(0)) {
    json["start_edge_seconds"] = energy.start_edge.value;
    json["end_edge_seconds"] = energy.end_edge.value;
    json["covered_seconds"] = energy.covered.value;
    json["longest_gap_seconds"] = energy.longest_gap.value;
  }
  return json;
}

/// As Zeus numbers them, one after another; null if there is none.
Json by_place(const WindowMeasurement& window, HostPart part) {
  Json json;
  int place = 0;
  for (const DeviceMeasurement& domain : window.host) {
    if (domain.silent || host_part(domain.name) != part) continue;
    json[std::to_string(place++)] = number(domain.energy.joules);
  }
  return json;
}

/// Zeus' Measurement.
Json measurement(const WindowMeasurement& window) {
  Json gpus = Json::object();
  for (const DeviceMeasurement& gpu : window.gpus) {
    gpus[std::to_string(gpu.index)] = number(gpu.energy.joules);
  }
  return {{"time", window.duration.value},
          {"gpu_energy", gpus},
          {"cpu_energy", by_place(window, HostPart::kPackage)},
          {"dram_energy", by_place(window, HostPart::kDram)},
          {"soc_energy", nullptr}};
}

Json devices(const WindowMeasurement& window) {
  Json json{{"gpus", Json::array()}, {"host", Json::array()}};
  for (const DeviceMeasurement& measured : window.gpus) {
    Json gpu{{"index", measured.index}};
    gpu.update(device(measured));
    json["gpus"].push_back(std::move(gpu));
  }
  for (const DeviceMeasurement& sensor : window.host) json["host"].push_back(device(sensor));
  return json;
}

Json run_json(const RunMeasurement& run, const RunFigures& figures) {
  Json json{{"duration", run.duration.value}};
  if (run.exit_code) json["exit_code"] = *run.exit_code;
  if (run.interrupted) json["interrupted_by_signal"] = *run.interrupted;
  json["absent_because"] = text_or_null(run.absent_because);
  if (run.units) {
    json["units"] = number(run.units->count);
    json["units_from"] = run.units->basis;
    json["units_absent_because"] = text_or_null(run.units->absent_because);
  }
  if (!run.window) return json;
  json["steady_state_measurement"] = measurement(*run.window);
  json["total_energy_joules"] = number(figures.energy.total.joules);
  json["total_energy_absent_because"] = text_or_null(figures.energy.total.absent_because);
  json.update(devices(*run.window));
  return json;
}

/// Medians over the runs under the names of a benchmark's result, and their spread: of several,
/// over those that went well.
class Summary {
 public:
  Summary(const std::vector<RunMeasurement>& runs, const std::vector<RunFigures>& figures)
      : runs_(runs), figures_(figures) {}

  template <class Figure>
  void add(const std::string& name, Figure&& figure) {
    std::vector<std::optional<double>> values;
    for (std::size_t r = 0; r < runs_.size(); ++r) {
      if (runs_.size() == 1 || runs_[r].went_well())
        values.push_back(figure(runs_[r], figures_[r]));
    }
    const auto found = spread(std::move(values));
    medians[name] = found ? Json(found->median) : Json();
    if (found && runs_.size() > 1) {
      spreads[name] = {{"median", found->median}, {"min", found->min}, {"max", found->max}};
    }
  }

  Json medians = Json::object();
  Json spreads = Json::object();

 private:
  const std::vector<RunMeasurement>& runs_;
  const std::vector<RunFigures>& figures_;
};

std::optional<double> plain(const std::optional<Joules>& joules) {
  return joules ? std::optional(joules->value) : std::nullopt;
}
std::optional<double> plain(const std::optional<Watts>& watts) {
  return watts ? std::optional(watts->value) : std::nullopt;
}

void add_energy(Summary& summary, bool idle) {
  using Run = RunMeasurement;
  using Figures = RunFigures;
  summary.add("duration",
              [](const Run& r, const Figures&) { return std::optional(r.duration.value); });
  summary.add("steady_state_duration", [](const Run& r, const Figures&) {
    return r.window ? std::optional(r.window->duration.value) : std::nullopt;
  });
  summary.add("steady_state_energy",
              [](const Run&, const Figures& f) { return plain(f.energy.gpu.joules); });
  summary.add("avg_power_watts",
              [](const Run&, const Figures& f) { return plain(f.energy.gpu.mean_power); });
  summary.add("total_energy_joules",
              [](const Run&, const Figures& f) { return plain(f.energy.total.joules); });
  summary.add("total_avg_power_watts",
              [](const Run&, const Figures& f) { return plain(f.energy.total.mean_power); });
  if (!idle) return;
  summary.add("steady_state_energy_above_idle_joules",
              [](const Run&, const Figures& f) { return plain(f.gpu_above_idle); });
  summary.add("total_energy_above_idle_joules",
              [](const Run&, const Figures& f) { return plain(f.above_idle); });
}

void add_units(Summary& summary, const std::string& unit) {
  using Run = RunMeasurement;
  using Figures = RunFigures;
  const auto count = [](const Run&, const Figures& f) { return f.units; };
  const auto per_unit = [](const Run&, const Figures& f) { return f.gpu_joules_per_unit; };
  const auto rate = [](const Run&, const Figures& f) { return f.units_per_second; };
  if (unit == "token") {  // the benchmark's own names
    summary.add("total_output_tokens", count);
    summary.add("output_throughput", rate);
    summary.add("steady_state_energy_per_token", per_unit);
  } else {
    summary.add("total_" + unit + "s", count);
    summary.add(unit + "s_per_second", rate);
  }
  summary.add(fmt::format("energy_per_{}_joules", unit), per_unit);
  summary.add(fmt::format("total_energy_per_{}_joules", unit),
              [](const Run&, const Figures& f) { return f.joules_per_unit; });
}

}  // namespace

std::string measure_json(const MeasureRequest& request, const MeasureOutcome& outcome) {
  std::vector<RunFigures> figures;
  bool simulated = false;
  for (const RunMeasurement& run : outcome.runs) {
    figures.push_back(run_figures(run, outcome.idle));
    simulated = simulated || (run.window && run.window->simulated);
  }
  Json json{{"schema", kSchema}, {"source", outcome.source}, {"simulated", simulated}};
  if (!request.command.empty()) json["command"] = request.command;
  json["exit_code"] = outcome.exit_code;
  Summary summary(outcome.runs, figures);
  add_energy(summary, outcome.idle.has_value());
  if (request.units.any()) {
    json["unit"] = request.units.name;
    add_units(summary, request.units.name);
  }
  json.update(summary.medians);
  if (outcome.runs.size() > 1) json["spread"] = summary.spreads;
  if (outcome.idle) json["idle"] = devices(*outcome.idle);
  // The benchmark's own key for one measurement: of several runs, in `runs` only.
  if (outcome.runs.size() == 1 && outcome.runs.front().window) {
    json["steady_state_measurement"] = measurement(*outcome.runs.front().window);
  }
  json["runs"] = Json::array();
  for (std::size_t r = 0; r < outcome.runs.size(); ++r) {
    json["runs"].push_back(run_json(outcome.runs[r], figures[r]));
  }
  json["problems"] = outcome.problems;
  return json_text(json, 2) + "\n";
}

}  // namespace thermoe
