// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/errors.h"
#include "machine/calibration/cost_calibration.h"

namespace thermoe {
namespace {

/// Bursts between rests and the power readings that came meanwhile.
std::optional<SensorLagFit> lag_of(const CalibrationRecord& record) {
  std::vector<LoadBurst> bursts;
  const auto& stretches = record.stretches;
  for (std::size_t i = 0; i + 1 < stretches.size(); ++i) {
    const bool burst = !stretches[i].window.idle() && !stretches[i].window.counted();
    // The step under way at a window's end still runs: the rest begins when it has ended.
    if (burst) bursts.push_back({.from = stretches[i].from, .to = stretches[i + 1].from});
  }
  if (bursts.empty()) return std::nullopt;
  constexpr Seconds kBefore{0.5};
  const auto last_rest = std::ranges::find_if(
      stretches, [&](const CalibrationStretch& s) { return s.from == bursts.back().to; });
  std::vector<PowerSample> samples;
  for (const Snapshot& snapshot : record.snapshots) {
    if (snapshot.gpus.empty() || snapshot.at < bursts.front().from - kBefore ||
        snapshot.at > last_rest->to) {
      continue;
    }
    const Reading<Watts>& power = snapshot.gpus.front().power_instant;
    if (power.value && power.changed_at == snapshot.at) {
      samples.push_back({.read_at = snapshot.at, .power = *power.value});
    }
  }
  return fit_sensor_lag(bursts, samples);
}

CostModelHeader header_of(const CalibrationRequest& request, const CalibrationFit& fit,
                          const CalibrationState& state) {
  CostModelHeader header{.path = "the calibrated cost model",
                         .device = request.device,
                         .driver = request.driver,
                         .sm_clock = state.sm_clock,
                         .memory_clock = state.memory_clock};
  header.power_definition =
      "whole board, from the NVML energy counter; energies are above idle_active_w";
  header.purpose = fmt::format(
      "{} on this GPU, as measured before a run. idle_active_w: what is left of the board's power "
      "when work at two rates is taken off; idle_cold_w: a context and no work. Not measured, "
      "taken from {}: thermal, perturbation",
      request.shape.name, request.base.header().path);
  header.active_idle = fit.idle_active;
  header.cold_idle = fit.idle_cold;
  header.thermal = request.base.header().thermal;
  header.perturbation = request.base.perturbation();
  // Energies were measured at this temperature and are right there, not at the base's.
  if (header.perturbation.thermal && state.temperature) {
    header.perturbation.thermal->reference = *state.temperature;
  }
  if (header.perturbation.power && state.power_limit) {
    header.perturbation.power->limit = *state.power_limit;
  }
  header.models = {request.shape};
  return header;
}

CostTable table_of(const CalibrationRequest& request, const CalibrationFit& fit, int variant,
                   const std::optional<FirstOrderThermal>& thermal) {
  const ExpertShape& shape = request.shape;
  OpKey key{.op = shape.gated ? "moe_experts" : "moe_experts_plain",
            .shape = {shape.experts, shape.top_k, shape.d_model, shape.d_ff},
            .dtype = request.dtypes[static_cast<std::size_t>(variant)]};
  if (const CostTable* same = request.base.find(key)) key.group_size = same->key().group_size;
  const double layer = 1.0 / shape.layers;
  std::vector<CostRow> rows;
  for (const CalibratedStep& step : fit.steps) {
    if (step.variant != variant) continue;
    CostRow row{.tokens = static_cast<double>(request.tokens),
                .active_experts = step.active,
                .latency = layer * step.latency,
                .energy = layer * step.energy,
                .samples = step.steps,
                .spread = step.spread,
                .energy_spread = step.energy_spread};
    if (thermal) row.heat = thermal->heat(*row.energy);
    // Where a router cannot reach as many as planned, two plans may come to the same.
    if (rows.empty() || *row.active_experts > *rows.back().active_experts) rows.push_back(row);
  }
  return {std::move(key), CostSource::kCalibrated,
          fmt::format("steps of {} layers, {}; device time and board energy of a step over its "
                      "layers, routing included",
                      shape.layers,
                      request.step_period > Seconds(0)
                          ? fmt::format("one each {:g} ms", 1e3 * request.step_period.value)
                          : "back to back"),
          std::move(rows)};
}

}  // namespace

CostCalibration calibration_of(const CalibrationRequest& request, const CalibrationRecord& record) {
  const std::vector<CalibrationLevel> levels = calibration_levels(record);
  const CalibrationFit fit = fit_calibration(levels, request.step_period);
  const CalibrationState state = calibration_state(record);
  const std::optional<SensorLagFit> lag = lag_of(record);
  CostModelHeader header = header_of(request, fit, state);
  if (lag) header.sensors = lag->lag;
  std::vector<CostTable> tables;
  for (std::size_t v = 0; v < request.dtypes.size(); ++v) {
    tables.push_back(table_of(request, fit, static_cast<int>(v), header.thermal));
  }
  return {.costs = KernelCostModel(std::move(header), std::move(tables)),
          .fit = fit,
          .state = state,
          .lag = lag,
          .step_period = request.step_period,
          .taken = record.taken,
          .base = request.base.header().path};
}

}  // namespace thermoe
