// SPDX-License-Identifier: Apache-2.0
#include "report/metrics_logger.h"

#include <algorithm>
#include <cmath>

#include "core/errors.h"

namespace thermoe {
namespace {

std::vector<std::string> expert_columns(int experts, const char* unit) {
  std::vector<std::string> names = {"strategy", "time_s", "layer"};
  for (int e = 0; e < experts; ++e) names.push_back(fmt::format("expert_{}_{}", e, unit));
  return names;
}

std::optional<double> milliseconds(const std::optional<Seconds>& time) {
  return time ? std::optional(1e3 * time->value) : std::nullopt;
}

void add_truth(CsvRow& row, const TrueHardware& truth) {
  row.add(truth.power).add(truth.power_1s).add(truth.temperature).add(truth.memory_temperature);
  row.add(truth.gpu_utilisation).add(truth.memory_utilisation).add(truth.sm_clock);
  row.add(truth.throttled);
}

void add_sensed(CsvRow& row, const GpuReading* sensed, Seconds now) {
  if (sensed == nullptr) {
    for (int i = 0; i < 11; ++i) row.empty();
    return;
  }
  row.add(sensed->power_instant.value).add(sensed->power_average.value);
  row.add(sensed->temperature.value).add(sensed->memory_temperature.value);
  row.add(sensed->energy.value);
  row.add(sensed->gpu_utilisation.value).add(sensed->memory_utilisation.value);
  row.add(sensed->sm_clock.value);
  const auto& reasons = sensed->throttle_reasons.value;
  if (reasons) {
    row.add(static_cast<std::int64_t>(*reasons));
  } else {
    row.empty();
  }
  row.add(sensed->power_instant.age(now)).add(sensed->power_instant.unchanged_for(now));
}

void add_routing(CsvRow& row, const RoutingStats& stats) {
  row.add(stats.mean_active());
  ExpertUsage usage(stats.layers, stats.experts);
  usage.add(stats);
  const ExpertLoad load = usage.mean_load();
  row.add(load.coefficient_of_variation).add(load.max_share).add(stats.kept_mass);
  for (int l = 0; l < stats.layers; ++l) row.add(stats.active(l));
}

void add_control(CsvRow& row, const ControlRecord& control) {
  row.add(control.lambda).add(control.bias_norm);
  row.add(control.predicted_power).add(control.power_residual);
  row.add(control.predicted_temperature).add(control.temperature_residual);
  row.add(milliseconds(control.predicted_step_time)).add(milliseconds(control.step_time_residual));
  row.add(control.predicted_active).add(control.predicted_kept_mass).add(control.at_floor);
  if (const auto& loss = control.losses) {
    row.add(loss->total).add(loss->power).add(loss->temperature).add(loss->latency);
    row.add(loss->throughput).add(loss->quality).add(loss->parameter_shift);
    row.add(loss->learning_rate);
  } else {
    for (int i = 0; i < 8; ++i) row.empty();
  }
}

}  // namespace

std::vector<std::string> MetricsLogger::columns(int layers) {
  std::vector<std::string> names = {
      "strategy", "time_s", "simulated",
      // the hardware's truth, then what its sensors said
      "power_true_w", "power_true_1s_w", "temperature_true_c", "memory_temperature_true_c",
      "gpu_util_true", "mem_util_true", "sm_clock_true_mhz", "throttled", "power_instant_w",
      "power_average_w", "temperature_c", "memory_temperature_c", "energy_counter_j", "gpu_util",
      "mem_util", "sm_clock_mhz", "throttle_reasons", "power_age_s", "power_unchanged_s",
      // what was done to it
      "background_power_w", "bandwidth_taken", "ambient_offset_c", "sensor_fault",
      // work
      "steps", "tokens", "step_time_ms", "step_period_ms", "bits_per_byte",
      "baseline_bits_per_byte", "kl_to_baseline_nats", "top1_agreement",
      // routing
      "active_experts", "expert_load_cv", "expert_load_max_share", "kept_mass"};
  for (int l = 0; l < layers; ++l) names.push_back(fmt::format("active_experts_layer_{}", l));
  for (const char* name : {"lambda",
                           "bias_norm",
                           "predicted_power_w",
                           "power_residual_w",
                           "predicted_temperature_c",
                           "temperature_residual_c",
                           "predicted_step_ms",
                           "step_residual_ms",
                           "predicted_active_experts",
                           "predicted_kept_mass",
                           "at_floor",
                           "loss_total",
                           "loss_power",
                           "loss_temperature",
                           "loss_latency",
                           "loss_throughput",
                           "loss_quality",
                           "parameter_shift",
                           "learning_rate",
                           "power_target_w",
                           "temperature_target_c",
                           "step_target_ms",
                           "violation",
                           "fallback"}) {
    names.emplace_back(name);
  }
  return names;
}

MetricsLogger::MetricsLogger(const std::string& folder, int layers, int experts)
    : metrics_(folder + "/metrics.csv", columns(layers)),
      usage_(folder + "/expert_usage.csv", expert_columns(experts, "tokens")),
      bias_(folder + "/expert_bias.csv", expert_columns(experts, "bias")),
      second_(layers, experts),
      bias_sums_(static_cast<std::size_t>(layers) * static_cast<std::size_t>(experts)) {}

void MetricsLogger::add(const MetricsRow& row) {
  CsvRow line;
  line.add(row.strategy).add(row.at).add(row.simulated);
  add_truth(line, row.truth);
  add_sensed(line, row.sensed, row.at);
  line.add(row.disturbance.background_power).add(row.disturbance.bandwidth_share);
  line.add(row.disturbance.ambient_offset).add(row.disturbance.sensor_fault);
  line.add(row.step.steps).add(row.step.tokens);
  line.add(1e3 * row.step.step_time.value).add(1e3 * row.step.step_period.value);
  line.add(row.quality.bits_per_byte).add(row.quality.baseline_bits);
  line.add(row.quality.kl_to_baseline).add(row.quality.top1_agreement);
  add_routing(line, row.stats);
  add_control(line, row.control);
  line.add(row.targets.power).add(row.targets.temperature);
  line.add(milliseconds(row.targets.step_time));
  line.add(row.violation).add(std::string_view(row.control.fallback));
  metrics_.add(line);

  if (strategy_ != row.strategy) {
    strategy_ = row.strategy;
    second_start_ = row.at - row.step.tick;
  }
  second_.add(row.stats);
  add_bias(row.plan);
  last_ = row.at;
  // Half a tick of slack: times are sums of ticks.
  if (row.at - second_start_ + 0.5 * row.step.tick >= Seconds(1.0)) write_second();
}

void MetricsLogger::finish_strategy() {
  if (last_ > second_start_) write_second();
  strategy_.clear();
}

void MetricsLogger::add_bias(const RoutingPlan* plan) {
  ++ticks_;
  if (plan == nullptr) return;
  auto sum = bias_sums_.begin();
  for (int l = 0; l < second_.layers(); ++l) {
    for (const float bias : plan->selection_bias(l)) *sum++ += static_cast<double>(bias);
  }
}

void MetricsLogger::write_second() {
  auto sum = bias_sums_.cbegin();
  for (int l = 0; l < second_.layers(); ++l) {
    CsvRow tokens, biases;
    tokens.add(std::string_view(strategy_)).add(last_).add(l);
    biases.add(std::string_view(strategy_)).add(last_).add(l);
    for (const std::int64_t count : second_.layer(l)) tokens.add(count);
    for (int e = 0; e < second_.experts(); ++e) biases.add(*sum++ / ticks_);
    usage_.add(tokens);
    bias_.add(biases);
  }
  second_.clear();
  std::fill(bias_sums_.begin(), bias_sums_.end(), 0.0);
  ticks_ = 0;
  second_start_ = last_;
}

}  // namespace thermoe
