// SPDX-License-Identifier: Apache-2.0
#include "measure/measure_words.h"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <functional>

#include "core/terminal_text.h"
#include "measure/run_figures.h"

namespace thermoe {
namespace {

constexpr Seconds kAdvised{5.0};        // shorter windows are mostly edges
constexpr Seconds kCounterUpdate{0.1};  // slowest seen of a GPU
constexpr int kNameColumns = 38;

std::string name_cell(const std::string& name) {
  return padded(fit(printable(name, true), kNameColumns, false), kNameColumns);
}

std::string device_name(const std::string& label, const DeviceMeasurement& device) {
  return device.name == label ? label : label + "  " + device.name;
}

template <class Q>
std::string cell(const std::optional<Q>& value, const char* unit, int width) {
  return value ? fmt::format("{:>{}.1f} {}", value->value, width - 2, unit)
               : fmt::format("{:>{}}", "-", width);
}

std::string temperatures(const DeviceMeasurement& device) {
  if (!device.max_temperature) return fmt::format("{:>13}", "-");
  return fmt::format("{:>8.1f}/{:.0f} C", device.mean_temperature->value,
                     device.max_temperature->value);
}

std::string device_row(const std::string& label, const DeviceMeasurement& device) {
  std::string basis = device.energy.basis == EnergyBasis::kCounter ? "counter" : "integrated power";
  if (!device.energy.joules) basis = device.energy.absent_because;
  return fmt::format("{}{}{}{}{}  {}\n", name_cell(device_name(label, device)),
                     cell(device.energy.joules, "J", 13), cell(device.mean_power, "W", 10),
                     cell(device.peak_power, "W", 10), temperatures(device), basis);
}

/// What the total is made of: "2 GPUs, 1 CPU package, 1 DRAM".
std::string members(const EnergyTotals& totals) {
  std::vector<std::string> words;
  const auto add = [&](const EnergySum& sum, const char* one, const char* many) {
    if (sum.devices > 0)
      words.push_back(fmt::format("{} {}", sum.devices, sum.devices == 1 ? one : many));
  };
  add(totals.gpu, "GPU", "GPUs");
  add(totals.cpu, "CPU package", "CPU packages");
  add(totals.dram, "DRAM", "DRAMs");
  return fmt::format("{}", fmt::join(words, ", "));
}

std::string total_row(const EnergyTotals& totals) {
  const EnergySum& total = totals.total;
  return fmt::format("{}{}{}{:>23}  {}\n", name_cell("total"), cell(total.joules, "J", 13),
                     cell(total.mean_power, "W", 10), "",
                     total.joules ? members(totals) : total.absent_because);
}

std::string table(const WindowMeasurement& window) {
  std::string text = fmt::format("{}{:>13}{:>10}{:>10}{:>13}  {}\n", name_cell(""), "energy",
                                 "mean", "peak", "mean/max", "from");
  for (const DeviceMeasurement& gpu : window.gpus) text += device_row(gpu_label(gpu), gpu);
  for (const DeviceMeasurement& device : window.host) {
    if (!device.silent) text += device_row(device.name, device);
  }
  return text + total_row(energy_totals(window));
}

std::string hottest_host_sensor(const WindowMeasurement& window) {
  const auto hottest = std::ranges::max_element(window.host, {}, [](const DeviceMeasurement& d) {
    return d.max_temperature.value_or(Celsius(-1e9));
  });
  if (hottest == window.host.end() || !hottest->max_temperature) return "";
  return fmt::format("Hottest sensor of the host: {}, {:.0f} C.\n", printable(hottest->name, true),
                     hottest->max_temperature->value);
}

/// How far readings lie from the edges, the worst of those that count.
std::string edges(const WindowMeasurement& window) {
  Seconds start{};
  Seconds end{};
  bool any = false;
  for (const auto* devices : {&window.gpus, &window.host}) {
    for (const DeviceMeasurement& device : *devices) {
      if (!device.energy.joules) continue;
      any = true;
      const auto farther = [](Seconds a, Seconds b) {
        return std::abs(a.value) < std::abs(b.value) ? b : a;
      };
      start = farther(start, device.energy.start_edge);
      end = farther(end, device.energy.end_edge);
    }
  }
  if (!any) return "";
  const auto words = [](Seconds edge, const char* of) {
    return fmt::format("{:.0f} ms {} the {}", std::abs(1e3 * edge.value),
                       edge < Seconds(0) ? "before" : "after", of);
  };
  return fmt::format("Counted from {} to {}", words(start, "start"), words(end, "end")) +
         " (the farthest of the readings).\n";
}

std::string short_window(const WindowMeasurement& window) {
  if (window.duration >= kAdvised) return "";
  return fmt::format(
      "A window of {:.2f} s is short: a GPU's counter moves every 20 to 100 ms, which alone may be "
      "{:.0f} % here. {:.0f} s and more are advised.\n",
      window.duration.value,
      std::min(100.0, 100.0 * (kCounterUpdate / std::max(window.duration, Seconds(1e-3)))),
      kAdvised.value);
}

std::string per_unit(const MeasureRequest& request, const RunMeasurement& run,
                     const RunFigures& figures) {
  if (!run.units) return "";
  const std::string& name = request.units.name;
  if (!run.units->count) {
    return fmt::format("No J/{}: {}.\n", name, printable(run.units->absent_because, true));
  }
  std::string text = fmt::format("{:.10g} {}s from {}, {:.4g} a second:", *run.units->count, name,
                                 printable(run.units->basis, true), *figures.units_per_second);
  if (figures.gpu_joules_per_unit) {
    text += fmt::format(" {:.4g} J/{} of the GPUs", *figures.gpu_joules_per_unit, name);
  }
  const bool host = figures.energy.cpu.devices + figures.energy.dram.devices > 0;
  if (figures.joules_per_unit && host) {
    text += fmt::format("{} {:.4g} J/{} in all", figures.gpu_joules_per_unit ? "," : "",
                        *figures.joules_per_unit, name);
  }
  if (!figures.gpu_joules_per_unit && !figures.joules_per_unit) text += " no total energy";
  return text + ".\n";
}

std::string idle_words(const MeasureOutcome& outcome, const RunFigures& figures) {
  if (!outcome.idle) return "";
  const EnergySum idle = energy_totals(*outcome.idle).total;
  if (!idle.mean_power) return fmt::format("Idle is not known: {}.\n", idle.absent_because);
  std::string text = fmt::format("Idle before: {:.1f} W", idle.mean_power->value);
  if (figures.above_idle) text += fmt::format("; above it {:.1f} J", figures.above_idle->value);
  return text + ".\n";
}

std::string ending(const RunMeasurement& run) {
  std::string text;
  if (run.exit_code) text += fmt::format(", exit code {}", *run.exit_code);
  if (run.interrupted) text += fmt::format(", interrupted by signal {}", *run.interrupted);
  return text;
}

/// "thermoe measure  replay of trace.csv (simulated)".
std::string title(const MeasureOutcome& outcome) {
  const bool simulated = std::ranges::any_of(
      outcome.runs, [](const RunMeasurement& run) { return run.window && run.window->simulated; });
  return fmt::format("thermoe measure  {}{}", printable(outcome.source, true),
                     simulated && outcome.source != "simulated" ? " (simulated)" : "");
}

std::string heading(const MeasureOutcome& outcome, const RunMeasurement& run) {
  std::string text = fmt::format("{}: {:.2f} s", title(outcome), run.duration.value);
  if (run.window && run.window->duration < run.duration) {
    text += fmt::format(" ({:.2f} s measured)", run.window->duration.value);
  }
  return text + ending(run) + "\n";
}

std::string one_run(const MeasureRequest& request, const MeasureOutcome& outcome) {
  const RunMeasurement& run = outcome.runs.front();
  if (!run.window) return fmt::format("thermoe measure: {}\n", run.absent_because);
  const RunFigures figures = run_figures(run, outcome.idle);
  return heading(outcome, run) + table(*run.window) + per_unit(request, run, figures) +
         idle_words(outcome, figures) + hottest_host_sensor(*run.window) + edges(*run.window) +
         short_window(*run.window);
}

std::string spread_row(const std::string& name, const std::string& unit,
                       const std::vector<std::optional<double>>& values) {
  const auto found = spread(values);
  if (!found) return fmt::format("{}{:>13}\n", name_cell(name), "-");
  const bool per_unit =
      unit.find('/') != std::string::npos;  // small, so by digits, not by decimals
  const auto cell = [&](double value) {
    return fmt::format("{:>13}",
                       per_unit ? fmt::format("{:.4g}", value) : fmt::format("{:.1f}", value));
  };
  return name_cell(name) + cell(found->median) + cell(found->min) + cell(found->max) +
         fmt::format("  {}\n", unit);
}

/// Rows of every device: `figure` of a run's window by place.
std::string device_spreads(const std::vector<RunMeasurement>& runs) {
  std::string text;
  const WindowMeasurement& first = *runs.front().window;
  const auto rows = [&](const std::vector<DeviceMeasurement> WindowMeasurement::*list) {
    for (std::size_t d = 0; d < (first.*list).size(); ++d) {
      const DeviceMeasurement& device = (first.*list)[d];
      if (device.silent) continue;
      std::vector<std::optional<double>> joules;
      for (const RunMeasurement& run : runs) {
        const auto& devices = *run.window.*list;
        const bool known = d < devices.size() && devices[d].energy.joules;
        joules.push_back(known ? std::optional(devices[d].energy.joules->value) : std::nullopt);
      }
      const bool gpu = list == &WindowMeasurement::gpus;
      text += spread_row(gpu ? device_name(gpu_label(device), device) : device.name, "J", joules);
    }
  };
  rows(&WindowMeasurement::gpus);
  rows(&WindowMeasurement::host);
  return text;
}

std::string run_line(const MeasureRequest& request, std::size_t number, const RunMeasurement& run,
                     const RunFigures& figures) {
  std::string text = fmt::format("run {}: {:.2f} s{}", number, run.duration.value, ending(run));
  if (!run.window) return text + fmt::format(": {}\n", run.absent_because);
  const EnergySum& total = figures.energy.total;
  if (total.joules) {
    text += fmt::format(", {:.1f} J, {:.1f} W", total.joules->value, total.mean_power->value);
  } else {
    text += fmt::format(", no total: {}", total.absent_because);
  }
  text += "\n";
  return run.units && !run.units->count ? text + per_unit(request, run, figures) : text;
}

std::string several_runs(const MeasureRequest& request, const MeasureOutcome& outcome) {
  std::string text = fmt::format("{}: {} runs\n", title(outcome), outcome.runs.size());
  std::vector<RunMeasurement> measured;
  std::vector<RunFigures> figures;
  for (std::size_t r = 0; r < outcome.runs.size(); ++r) {
    const RunMeasurement& run = outcome.runs[r];
    const RunFigures its = run_figures(run, outcome.idle);
    text += run_line(request, r + 1, run, its);
    if (!run.window || !run.went_well()) continue;
    measured.push_back(run);
    figures.push_back(its);
  }
  if (measured.empty()) return text + "No run went well, so there is no spread.\n";
  if (measured.size() < outcome.runs.size()) {
    text += fmt::format("The spread is that of the {} that went well.\n",
                        measured.size() == 1 ? "one run" : fmt::format("{} runs", measured.size()));
  }
  const auto row = [&](const std::string& name, const std::string& unit, auto&& figure) {
    std::vector<std::optional<double>> values;
    values.reserve(figures.size());
    for (const RunFigures& f : figures) values.push_back(figure(f));
    text += spread_row(name, unit, values);
  };
  const auto number = [](const auto& quantity) {
    return quantity ? std::optional(quantity->value) : std::nullopt;
  };
  text += fmt::format("{}{:>13}{:>13}{:>13}\n", name_cell(""), "median", "lowest", "highest");
  text += device_spreads(measured);
  row("total energy", "J", [&](const RunFigures& f) { return number(f.energy.total.joules); });
  row("total power", "W", [&](const RunFigures& f) { return number(f.energy.total.mean_power); });
  if (outcome.idle)
    row("above idle", "J", [&](const RunFigures& f) { return number(f.above_idle); });
  if (request.units.any()) {
    const std::string unit = "J/" + request.units.name;
    if (figures.front().energy.gpu.devices > 0) {
      row(unit + " of the GPUs", unit, [](const RunFigures& f) { return f.gpu_joules_per_unit; });
    }
    if (figures.front().energy.total.devices > figures.front().energy.gpu.devices) {
      row(unit + " in all", unit, [](const RunFigures& f) { return f.joules_per_unit; });
    }
  }
  return text + short_window(*measured.front().window);
}

}  // namespace

std::string measure_words(const MeasureRequest& request, const MeasureOutcome& outcome) {
  std::string text = outcome.runs.size() == 1 ? one_run(request, outcome)
                     : outcome.runs.empty()   ? "thermoe measure: nothing was measured\n"
                                              : several_runs(request, outcome);
  for (const std::string& problem : outcome.problems) {
    text += fmt::format("Not measured: {}\n", printable(problem, true));
  }
  return text;
}

}  // namespace thermoe
