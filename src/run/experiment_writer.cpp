// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "cost/cost_writer.h"
#include "run/experiment.h"
#include "run/experiment_names.h"
#include "run/serving_reader.h"

namespace thermoe {
namespace {

using nlohmann::json;

json targets_json(const Targets& t) {
  json out = json::object();
  if (t.power) out["power_w"] = t.power->value;
  if (t.temperature) out["temperature_c"] = t.temperature->value;
  if (t.step_time) out["step_ms"] = 1e3 * t.step_time->value;
  if (t.between_tokens) out["time_between_tokens_ms"] = 1e3 * t.between_tokens->value;
  if (t.to_first_token) out["time_to_first_token_ms"] = 1e3 * t.to_first_token->value;
  return out;
}

json text_json(const TextSpec& text) {
  return {{"file", text.file},
          {"index", text.index},
          {"calibration", text.calibration},
          {"calibration_index", text.calibration_index},
          {"context", text.context}};
}

json disturbance_json(const Disturbance& d) {
  json out = {{"kind", kDisturbances[static_cast<std::size_t>(d.kind)]},
              {"from_s", d.from.value},
              {"to_s", d.to.value}};
  if (d.kind == Disturbance::Kind::kBackground) {
    if (d.power_fraction) {
      out["power_fraction"] = *d.power_fraction;
    } else {
      out["power_w"] = d.power.value;
    }
    out["bandwidth_share"] = d.bandwidth_share;
  }
  if (d.kind == Disturbance::Kind::kAmbient) out["offset_c"] = d.ambient.value;
  return out;
}

json plant_json(const PlantSpec& plant) {
  json out = {{"file", plant.file},
              {"cost_model", plant.cost_model},
              {"energy_scale", plant.energy_scale},
              {"idle_offset_w", plant.idle_offset.value},
              {"step_noise", plant.step_noise}};
  if (plant.sensor_delay) out["sensor_delay_s"] = plant.sensor_delay->value;
  return out;
}

json gpu_json(const GpuSpec& gpu) {
  json out = {{"calibrate", gpu.calibrate}, {"cool_down_s", gpu.cool_down.value}};
  if (gpu.distinct_layers) out["distinct_layers"] = *gpu.distinct_layers;
  return out;
}

}  // namespace

nlohmann::json to_json(const Experiment& e) {
  json strategies = json::array();
  for (const Strategy s : e.strategies) strategies.push_back(to_string(s));
  json disturbances = json::array();
  for (const Disturbance& d : e.disturbances) disturbances.push_back(disturbance_json(d));
  json arrival = {{"kind", e.tokens_per_second ? "fixed_rate" : "saturated"}};
  if (e.tokens_per_second) arrival["tokens_per_second"] = *e.tokens_per_second;
  const GuardRails& guard = e.control.guard;
  json out = {
      {"schema", 1},
      {"name", e.name},
      {"description", e.description},
      {"machine", kMachines[static_cast<std::size_t>(e.machine)]},
      {"decoder", kDecoders[e.trace ? 1 : 0]},
      {"strategies", strategies},
      {"workload", kWorkloads[static_cast<std::size_t>(e.workload)]},
      {"expert_type", kExpertTypes[static_cast<std::size_t>(e.expert_type)]},
      {"targets", targets_json(e.targets)},
      {"cost_model", e.cost_model},
      {"plant", plant_json(e.plant)},
      {"gpu", gpu_json(e.gpu)},
      {"costed_as", e.costed_as.given ? json(to_json(*e.costed_as.given)) : json(e.costed_as.name)},
      {"disturbances", disturbances},
      {"control",
       {{"mode", to_string(e.control.mode)},
        {"k_min", e.control.k_min},
        {"bias_clamp", guard.bias_clamp},
        {"max_quality_loss", guard.max_quality_loss},
        {"fallback", to_string(guard.fallback)},
        {"stale_after_s", guard.stale_after.value},
        {"recover_after_s", guard.recover_after.value},
        {"valid_ticks", guard.valid_ticks}}},
      {"duration_s", e.duration.value},
      {"tick_s", e.tick.value},
      {"warmup_steps", e.warmup_steps},
      {"calibration_samples", e.calibration_samples},
      {"kl_every", e.kl_every},
      {"rounds", e.rounds},
      {"seed", e.seed}};
  json& control = out["control"];
  if (e.control.price) control["price"] = *e.control.price;
  if (const json engine = engine_json(e.engine, e.arrivals.has_value()); !engine.empty()) {
    out["engine"] = engine;
  }
  if (e.arrivals) {
    out["arrivals"] = arriving_json(*e.arrivals);
    out["objective"] = to_string(e.objective);
  } else {
    out["arrival"] = arrival;
    out["decode_steps_per_tick"] = e.decode_steps_per_tick;
  }
  if (e.round) out["round"] = *e.round;
  if (const auto& s = e.control.sensor_delay) control["sensor_delay_s"] = s->value;
  if (const auto& s = e.control.sensor_window) control["sensor_window_s"] = s->value;
  if (e.trace) {
    out["trace"] = {{"file", e.trace->file}};
  } else {
    out["model"] = e.model;
    out["text"] = text_json(e.text);
  }
  if (e.arrivals) return out;
  if (e.workload == Workload::kStandard || e.workload == Workload::kHighComplexity) {
    out["batch"] = e.batch;
  }
  return out;
}

}  // namespace thermoe
