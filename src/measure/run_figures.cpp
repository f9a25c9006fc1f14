// SPDX-License-Identifier: Apache-2.0
#include "measure/run_figures.h"

#include <algorithm>
#include <utility>

namespace thermoe {
namespace {

/// What it would have taken at idle's power in the same time is taken off.
std::optional<Joules> above(const EnergySum& run, const EnergySum& idle) {
  if (!run.joules || !idle.mean_power || run.devices != idle.devices) return std::nullopt;
  const Seconds covered(*run.joules / (*run.mean_power * Seconds(1.0)));
  return *run.joules - *idle.mean_power * covered;
}

std::optional<double> per(const EnergySum& sum, std::optional<double> units) {
  if (!sum.joules || !units) return std::nullopt;
  return sum.joules->value / *units;
}

}  // namespace

RunFigures run_figures(const RunMeasurement& run, const std::optional<WindowMeasurement>& idle) {
  RunFigures figures;
  if (!run.window) return figures;
  figures.energy = energy_totals(*run.window);
  if (run.units) figures.units = run.units->count;
  figures.gpu_joules_per_unit = per(figures.energy.gpu, figures.units);
  figures.joules_per_unit = per(figures.energy.total, figures.units);
  if (figures.units) figures.units_per_second = *figures.units / run.window->duration.value;
  if (idle) {
    const EnergyTotals before = energy_totals(*idle);
    figures.gpu_above_idle = above(figures.energy.gpu, before.gpu);
    figures.above_idle = above(figures.energy.total, before.total);
  }
  return figures;
}

std::optional<Spread> spread(std::vector<std::optional<double>> values) {
  const bool whole = std::ranges::all_of(values, [](const auto& v) { return v.has_value(); });
  if (values.empty() || !whole) return std::nullopt;
  std::ranges::sort(values);
  const std::size_t n = values.size();
  const double low = *values[(n - 1) / 2];
  const double high = *values[n / 2];
  return Spread{.median = 0.5 * (low + high), .min = *values.front(), .max = *values.back()};
}

}  // namespace thermoe
