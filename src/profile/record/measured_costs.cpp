// SPDX-License-Identifier: Apache-2.0
#include "profile/record/measured_costs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "profile/execution_row.h"
#include "profile/parse_options.h"
#include "profile/record/median.h"
#include "profile/record/perturbation_fit.h"
#include "profile/record/step_response_fit.h"

namespace thermoe {
namespace {

/// Energies are alike where the same kernel runs on the same weights.
using Kind = std::pair<std::string, std::string>;  // op, dtype
Kind kind_of(const OpPoint& point) { return {point.key.op, point.key.dtype}; }

const EnergyRecord* energy_of(const ProfileRecords& records, const OpPoint& point) {
  const auto found = std::ranges::find(records.energies, point, &EnergyRecord::point);
  return found != records.energies.end() && found->above_idle().value > 0.0 ? &*found : nullptr;
}

EnergyAnchor place_of(const OpPoint& point) {
  return {.tokens = point.tokens,
          .active_experts = std::max(1.0, point.active_experts.value_or(1))};
}

std::map<Kind, EnergyModel> energy_models(const ProfileRecords& records,
                                          std::vector<std::string>& left_out) {
  std::map<Kind, std::vector<EnergySample>> samples;
  std::map<Kind, int> unmeasured;
  for (const TimeRecord& time : records.times) {
    const EnergyRecord* energy = energy_of(records, time.point);
    if (energy == nullptr) {
      ++unmeasured[kind_of(time.point)];
      continue;
    }
    samples[kind_of(time.point)].push_back(
        {.latency = row_of(time.point, time.timing.spans_ns).latency,
         .traffic = traffic_of(time.point),
         .energy = energy->above_idle()});
  }
  std::map<Kind, EnergyModel> models;
  for (const auto& [kind, measured] : samples) {
    if (const auto model = fit_energy(measured)) {
      models.emplace(kind, *model);
    } else if (unmeasured[kind] > 0) {
      left_out.push_back(fmt::format(
          "energies of {} {}: {} measured, and {} are needed to fit the other {}; raise --anchors",
          kind.first, kind.second, measured.size(), kFewestEnergySamples, unmeasured[kind]));
    }
  }
  return models;
}

/// What the model leaves at the anchors of one table.
std::vector<EnergyAnchor> anchors_of(const ProfileRecords& records, const OpKey& key,
                                     const EnergyModel& model) {
  std::vector<EnergyAnchor> anchors;
  for (const TimeRecord& time : records.times) {
    if (time.point.key != key) continue;
    const EnergyRecord* energy = energy_of(records, time.point);
    if (energy == nullptr) continue;
    const Seconds latency = row_of(time.point, time.timing.spans_ns).latency;
    EnergyAnchor anchor = place_of(time.point);
    anchor.ratio = energy->above_idle() / model.at(latency, traffic_of(time.point));
    anchors.push_back(anchor);
  }
  return anchors;
}

/// One table in the making.
struct Rows {
  OpKey key{};
  CostSource source{};
  const EnergyModel* model = nullptr;   ///< of energies that nobody measured
  std::vector<EnergyAnchor> anchors{};  ///< what it leaves at those of this table
  double left = 0.0;                    ///< of a fitted energy, relative rms
  std::vector<CostRow> rows{};
  int measured = 0;
  bool fitted = false;
};

/// How energies of this table that nobody measured are worked out.
void fit_table(const ProfileRecords& records, const EnergyModel& model, Rows& table) {
  table.model = &model;
  table.anchors = anchors_of(records, table.key, model);
  table.left = table.anchors.size() > 1 ? left_by_neighbours(table.anchors) : model.residual_rms;
}

std::string method_of(const Rows& table, const std::string& backend) {
  std::string text = fmt::format(
      "thermoe profile, {} backend: each execution alone, weights out of cache; {}", backend,
      table.source == CostSource::kCupti ? "first kernel's start to last kernel's end"
      : backend == "cpu"                 ? "the host's steady clock"
                                         : "CUDA events around it, launches included");
  if (table.measured > 0) {
    text += fmt::format("; energy of {} rows from windows back to back", table.measured);
  }
  if (table.fitted) {
    const EnergyModel* model = table.model;
    text += fmt::format(
        "; others fitted: {:.4g} W + {:.4g} pJ/B + {:.4g} pJ/FLOP, which leaves {:.1f} % rms, "
        "{:.1f} "
        "% at most, of {} measured",
        model->static_power.value, 1e12 * model->per_byte.value, 1e12 * model->per_flop.value,
        100.0 * model->residual_rms, 100.0 * model->residual_max, model->samples);
    if (table.anchors.size() > 1) {
      text += fmt::format(
          "; times what it leaves at the {} of this table, by their distance: each by the others "
          "within {:.1f} % rms",
          table.anchors.size(), 100.0 * table.left);
    }
  }
  return text;
}

void add_row(const TimeRecord& time, const ProfileRecords& records, LayersWithoutEnergy layers,
             Rows& table, int& without_energy) {
  CostRow row = row_of(time.point, time.timing.spans_ns);
  if (const EnergyRecord* energy = energy_of(records, time.point)) {
    row.energy = energy->above_idle();
    row.energy_spread = std::min(energy->idle_change, 10.0);
    ++table.measured;
  } else if (table.model != nullptr) {
    row.energy = neighbouring_ratio(place_of(time.point), table.anchors) *
                 table.model->at(row.latency, traffic_of(time.point));
    row.energy_spread = std::min(table.left, 10.0);
    row.energy_fitted = true;
    table.fitted = true;
  } else if (layers == LayersWithoutEnergy::kLeftOut &&
             time.point.key.op.starts_with("moe_experts")) {
    ++without_energy;
    return;
  }
  table.rows.push_back(row);
}

template <class Q>
std::optional<Q> median_state(const ProfileRecords& records,
                              std::optional<Q> DeviceState::*sensor) {
  std::vector<Q> values;
  const auto add = [&](const DeviceState& state) {
    if (state.*sensor) values.push_back(*(state.*sensor));
  };
  for (const EnergyRecord& energy : records.energies) add(energy.state);
  if (values.empty()) {
    for (const TimeRecord& time : records.times) add(time.state);
  }
  return median(std::move(values));
}

/// How costs follow the device's state, and how its sensors do, as far as that was measured.
void add_perturbation(const ProfileRecords& records, CostModelHeader& header) {
  const std::optional<StrainRecord>& strain = records.strain;
  std::vector<Celsius> warm;
  for (const EnergyRecord& energy : records.energies) {
    if (energy.state.temperature) warm.push_back(*energy.state.temperature);
  }
  const std::optional<Celsius> reference = median(std::move(warm));
  if (records.thermal && reference) {
    header.perturbation.thermal = fit_leakage(*records.thermal, *reference, header.active_idle);
  }
  if (!strain) return;
  header.perturbation.power = fit_slowdown(*strain);
  if (const auto fit = fit_sensor_lag(*strain)) header.sensors = fit->lag;
}

}  // namespace

MeasuredCosts measured_costs(const ProfileRecords& records, LayersWithoutEnergy layers) {
  MeasuredCosts costs;
  const std::map<Kind, EnergyModel> models = energy_models(records, costs.left_out);
  const auto model_of = [&](const OpPoint& point) {
    const auto model = models.find(kind_of(point));
    return model == models.end() ? nullptr : &model->second;
  };
  std::vector<Rows> tables;
  int without_energy = 0, mixed = 0;
  for (const TimeRecord& time : records.times) {
    auto table = std::ranges::find(tables, time.point.key, &Rows::key);
    if (table == tables.end()) {
      table = tables.insert(table, {.key = time.point.key, .source = time.timing.source});
      if (const EnergyModel* model = model_of(time.point)) fit_table(records, *model, *table);
    }
    if (table->source != time.timing.source) {
      ++mixed;
      continue;
    }
    add_row(time, records, layers, *table, without_energy);
  }
  for (Rows& table : tables) {
    if (table.rows.empty()) continue;
    std::ranges::sort(table.rows, row_before);
    costs.tables.emplace_back(table.key, table.source, method_of(table, records.facts.backend),
                              table.rows);
  }
  if (without_energy > 0) {
    costs.left_out.push_back(fmt::format(
        "{} expert layer{}: a cost model needs their energy, which was neither measured nor fitted",
        without_energy, without_energy == 1 ? "" : "s"));
  }
  if (mixed > 0) {
    costs.left_out.push_back(fmt::format(
        "{} points that were timed by other means than their table's first; profile all of them "
        "into a new folder",
        mixed));
  }
  return costs;
}

std::optional<KernelCostModel> cost_model_of(const ProfileRecords& records,
                                             const MeasuredCosts& costs,
                                             const std::vector<ExpertShape>& models) {
  if (costs.tables.empty() || records.energies.empty()) return std::nullopt;
  std::vector<Watts> idle;
  for (const EnergyRecord& energy : records.energies) idle.push_back(energy.idle);
  CostModelHeader header{.device = records.facts.device, .driver = records.facts.driver};
  header.sm_clock = median_state(records, &DeviceState::sm_clock);
  header.memory_clock = median_state(records, &DeviceState::memory_clock);
  header.power_definition =
      records.facts.backend == "cpu"
          ? "CPU packages, from RAPL; energies are above the idle windows beside each"
          : "whole board, from the NVML energy counter; energies are above the idle windows beside "
            "each; idle_active_w: their median, idle_cold_w: the least of them, a context there";
  header.purpose = "ops profiled one by one (thermoe profile)";
  header.active_idle = *median(idle);
  header.cold_idle = *std::ranges::min_element(idle);
  if (records.thermal) {
    if (const auto fit = fit_step_response(records.thermal->samples, 1)) {
      const ThermalPole& pole = fit->parameters.poles.front();
      header.thermal = {.ambient = fit->parameters.ambient,
                        .resistance = pole.resistance,
                        .time_constant = pole.time_constant};
    }
  }
  add_perturbation(records, header);
  for (const ExpertShape& model : models) {
    const std::vector<int> shape{model.experts, model.top_k, model.d_model, model.d_ff};
    const bool there = std::ranges::any_of(costs.tables, [&](const CostTable& table) {
      return table.key().op.starts_with("moe_experts") && table.key().shape == shape;
    });
    if (there) header.models.push_back(model);
  }
  return KernelCostModel(header, costs.tables);
}

ParsedProfile parsed_profile_of(const ProfileRecords& records, const std::string& file) {
  ParsedProfile profile{.file = file, .tool = "thermoe", .devices = {records.facts.device}};
  for (const TimeRecord& time : records.times) {
    RangeRecord range{.name = to_string(time.point),
                      .domain = kOwnDomain,
                      .count = static_cast<std::int64_t>(time.timing.spans_ns.size())};
    for (const std::int64_t ns : time.timing.spans_ns) range.executions.push_back({.span_ns = ns});
    const EnergyRecord* energy = energy_of(records, time.point);
    for (KernelRecord kernel : time.timing.kernels) {
      range.kernels += kernel.count;
      range.kernel_ns += *kernel.total_ns;
      if (energy != nullptr) {
        kernel.mean_power = energy->power();
        kernel.mean_temperature = energy->state.temperature;
        kernel.energy = energy->power() * Seconds(1e-9 * static_cast<double>(*kernel.total_ns));
      }
      profile.kernels.push_back(std::move(kernel));
    }
    profile.ranges.push_back(std::move(range));
  }
  std::ranges::sort(profile.kernels, std::ranges::greater(), &KernelRecord::total_ns);
  std::ranges::sort(profile.ranges, std::ranges::greater(), &RangeRecord::kernel_ns);
  if (profile.kernels.empty()) {
    profile.missing.emplace_back("kernels: not listed without CUPTI");
  }
  return profile;
}

}  // namespace thermoe
