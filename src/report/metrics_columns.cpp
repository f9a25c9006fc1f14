// SPDX-License-Identifier: Apache-2.0
#include "report/metrics_columns.h"

#include <fmt/format.h>

#include <array>

#include "report/expert_load.h"
#include "report/serving_latency.h"

namespace thermoe {
namespace {

using Row = const MetricsRow&;
using Number = std::optional<double>;

constexpr double kMilli = 1e3;

Number number(double value) { return value; }
template <class Tag>
Number number(const std::optional<Quantity<Tag>>& quantity) {
  return quantity ? Number(quantity->value) : std::nullopt;
}
template <class Tag>
Number number(Quantity<Tag> quantity) {
  return quantity.value;
}
Number number(std::uint64_t value) { return static_cast<double>(value); }
Number number(std::optional<std::uint64_t> value) { return value ? number(*value) : std::nullopt; }
Number flag(bool yes) { return yes ? 1.0 : 0.0; }
Number flag(std::optional<bool> yes) { return yes ? flag(*yes) : std::nullopt; }

template <class T>
Number sensed(Row row, Reading<T> GpuReading::*sensor) {
  if (row.sensed == nullptr || !(row.sensed->*sensor).value) return std::nullopt;
  return number(*(row.sensed->*sensor).value);
}

Number power_time(Row row, Seconds (Reading<Watts>::*since)(Seconds) const) {
  if (row.sensed == nullptr) return std::nullopt;
  return (row.sensed->power_instant.*since)(row.at).value;
}

Number loss(Row row, double ControllerState::Losses::*term) {
  return row.control.losses ? Number((*row.control.losses).*term) : std::nullopt;
}

/// What only an engine under arrivals has.
template <class Get>
Number served(Row row, Get get) {
  return row.step.serving ? Number(get(*row.step.serving)) : std::nullopt;
}

/// Of what came in the tick; absent where nothing did.
Number mean_of(Row row, std::vector<Weighted> (*times)(const ServingTick&)) {
  return row.step.serving ? weighted_mean(times(*row.step.serving)) : std::nullopt;
}
Number p99_of(Row row, std::vector<Weighted> (*times)(const ServingTick&)) {
  return row.step.serving ? percentile(times(*row.step.serving), 0.99) : std::nullopt;
}

/// Absent where no step ran.
template <class Get>
Number routed(Row row, Get get) {
  return row.routed ? Number(get(row.stats)) : std::nullopt;
}

/// Absent where no step ended: none takes no time.
Number taken(Seconds time) { return time > Seconds(0) ? Number(time.value) : std::nullopt; }

ExpertLoad load(Row row) {
  ExpertUsage usage(row.stats.layers, row.stats.experts);
  usage.add(row.stats);
  return usage.mean_load();
}

constexpr std::array<MetricsColumn, kMetrics> kColumns = {
    {{Metric::kStrategy, "strategy", nullptr, 1.0, false,
      [](Row r) { return std::string_view(r.strategy); }},
     {Metric::kTime, "time_s", [](Row r) { return number(r.at); }},
     {Metric::kSimulated, "simulated", [](Row r) { return flag(r.simulated); }},
     {Metric::kPower, "power_true_w", [](Row r) { return number(r.truth.mean_power); }},
     {Metric::kPower1s, "power_true_1s_w", [](Row r) { return number(r.power_1s); }},
     {Metric::kTemperature, "temperature_true_c",
      [](Row r) { return number(r.truth.temperature); }},
     {Metric::kMemoryTemperature, "memory_temperature_true_c",
      [](Row r) { return number(r.truth.memory_temperature); }},
     {Metric::kGpuUtilisation, "gpu_util_true", [](Row r) { return r.truth.utilisation; }},
     {Metric::kMemoryUtilisation, "mem_util_true",
      [](Row r) { return r.truth.memory_utilisation; }},
     {Metric::kSmClock, "sm_clock_true_mhz", [](Row r) { return number(r.truth.sm_clock); }},
     {Metric::kThrottled, "throttled", [](Row r) { return flag(r.truth.throttled); }},
     {Metric::kSensedInstantPower, "power_instant_w",
      [](Row r) { return sensed(r, &GpuReading::power_instant); }},
     {Metric::kSensedAveragePower, "power_average_w",
      [](Row r) { return sensed(r, &GpuReading::power_average); }},
     {Metric::kSensedTemperature, "temperature_c",
      [](Row r) { return sensed(r, &GpuReading::temperature); }},
     {Metric::kSensedMemoryTemperature, "memory_temperature_c",
      [](Row r) { return sensed(r, &GpuReading::memory_temperature); }},
     {Metric::kSensedEnergy, "energy_counter_j",
      [](Row r) { return sensed(r, &GpuReading::energy); }, 1.0, true},
     {Metric::kSensedGpuUtilisation, "gpu_util",
      [](Row r) { return sensed(r, &GpuReading::gpu_utilisation); }},
     {Metric::kSensedMemoryUtilisation, "mem_util",
      [](Row r) { return sensed(r, &GpuReading::memory_utilisation); }},
     {Metric::kSensedSmClock, "sm_clock_mhz",
      [](Row r) { return sensed(r, &GpuReading::sm_clock); }},
     {Metric::kSensedThrottleReasons, "throttle_reasons",
      [](Row r) { return sensed(r, &GpuReading::throttle_reasons); }, 1.0, true},
     {Metric::kSensedPowerAge, "power_age_s",
      [](Row r) { return power_time(r, &Reading<Watts>::age); }},
     {Metric::kSensedPowerUnchanged, "power_unchanged_s",
      [](Row r) { return power_time(r, &Reading<Watts>::unchanged_for); }},
     {Metric::kBackgroundPower, "background_power_w",
      [](Row r) { return number(r.disturbance.background_power); }},
     {Metric::kBandwidthTaken, "bandwidth_taken",
      [](Row r) { return number(r.disturbance.bandwidth_share); }},
     {Metric::kAmbientOffset, "ambient_offset_c",
      [](Row r) { return number(r.disturbance.ambient_offset); }},
     {Metric::kSensorFault, "sensor_fault", [](Row r) { return flag(r.sensor_fault); }},
     {Metric::kSteps, "steps", [](Row r) { return number(r.step.steps); }},
     {Metric::kTokens, "tokens", [](Row r) { return number(r.step.tokens); }},
     {Metric::kStepTime, "step_time_ms", [](Row r) { return taken(r.step.step_time); }, kMilli},
     {Metric::kStepPeriod, "step_period_ms", [](Row r) { return number(r.step.step_period); },
      kMilli},
     {Metric::kLateSteps, "late_steps", [](Row r) { return number(r.late_steps); }},
     {Metric::kRepeatedSteps, "repeated_steps", [](Row r) { return number(r.repeated_steps); }},
     {Metric::kDecidedPeriod, "decided_period_ms", [](Row r) { return number(r.period); }, kMilli},
     {Metric::kPeriodLimit, "period_limit", nullptr, 1.0, false,
      [](Row r) {
        return r.control.pacing ? to_string(r.control.pacing->period_limit) : std::string_view();
      }},
     {Metric::kBatch, "batch",
      [](Row r) { return served(r, [](const ServingTick& s) { return s.batch; }); }},
     {Metric::kRows, "rows",
      [](Row r) { return served(r, [](const ServingTick& s) { return s.rows; }); }},
     {Metric::kRunning, "running",
      [](Row r) { return served(r, [](const ServingTick& s) { return s.running; }); }},
     {Metric::kWaiting, "waiting",
      [](Row r) { return served(r, [](const ServingTick& s) { return s.waiting; }); }},
     {Metric::kArrived, "arrived",
      [](Row r) { return served(r, [](const ServingTick& s) { return s.arrived; }); }},
     {Metric::kFinished, "finished",
      [](Row r) { return served(r, [](const ServingTick& s) { return s.finished; }); }},
     {Metric::kMixedSteps, "mixed_steps",
      [](Row r) { return served(r, [](const ServingTick& s) { return s.mixed_steps; }); }},
     {Metric::kFirstTokens, "first_tokens",
      [](Row r) {
        return served(r, [](const ServingTick& s) { return s.to_first_token.size(); });
      }},
     {Metric::kFirstTokenTime, "first_token_ms",
      [](Row r) { return mean_of(r, first_token_times); }, kMilli},
     {Metric::kFirstTokenP99, "first_token_p99_ms",
      [](Row r) { return p99_of(r, first_token_times); }, kMilli},
     {Metric::kBetweenTokens, "between_tokens_ms", [](Row r) { return mean_of(r, token_gaps); },
      kMilli},
     {Metric::kBetweenTokensP99, "between_tokens_p99_ms",
      [](Row r) { return p99_of(r, token_gaps); }, kMilli},
     {Metric::kTokensInTime, "tokens_in_time",
      [](Row r) {
        return served(r, [&](const ServingTick& s) { return tokens_in_time(s, r.targets); });
      }},
     {Metric::kBits, "bits_per_byte", [](Row r) { return r.quality.bits_per_byte; }},
     {Metric::kBaselineBits, "baseline_bits_per_byte",
      [](Row r) { return r.quality.baseline_bits; }},
     {Metric::kKl, "kl_to_baseline_nats", [](Row r) { return r.quality.kl_to_baseline; }},
     {Metric::kTop1, "top1_agreement", [](Row r) { return r.quality.top1_agreement; }},
     {Metric::kActive, "active_experts",
      [](Row r) { return routed(r, [](const RoutingStats& s) { return s.mean_active(); }); }},
     {Metric::kLoadCv, "expert_load_cv",
      [](Row r) { return r.routed ? number(load(r).coefficient_of_variation) : std::nullopt; }},
     {Metric::kLoadMaxShare, "expert_load_max_share",
      [](Row r) { return r.routed ? number(load(r).max_share) : std::nullopt; }},
     {Metric::kKeptMass, "kept_mass",
      [](Row r) { return routed(r, [](const RoutingStats& s) { return s.kept_mass; }); }},
     {Metric::kQualityLoss, "quality_loss_nats",
      [](Row r) { return r.routed ? r.stats.quality_loss : std::nullopt; }},
     {Metric::kLambda, "lambda", [](Row r) { return number(r.control.lambda); }},
     {Metric::kBiasNorm, "bias_norm", [](Row r) { return number(r.control.bias_norm); }},
     {Metric::kPredictedPower, "predicted_power_w",
      [](Row r) { return number(r.control.predicted_power); }},
     {Metric::kPowerResidual, "power_residual_w",
      [](Row r) { return number(r.control.power_residual); }},
     {Metric::kPredictedTemperature, "predicted_temperature_c",
      [](Row r) { return number(r.control.predicted_temperature); }},
     {Metric::kTemperatureResidual, "temperature_residual_c",
      [](Row r) { return number(r.control.temperature_residual); }},
     {Metric::kPredictedStep, "predicted_step_ms",
      [](Row r) { return number(r.control.predicted_step_time); }, kMilli},
     {Metric::kStepResidual, "step_residual_ms",
      [](Row r) { return number(r.control.step_time_residual); }, kMilli},
     {Metric::kPredictedActive, "predicted_active_experts",
      [](Row r) { return number(r.control.predicted_active); }},
     {Metric::kPredictedKeptMass, "predicted_kept_mass",
      [](Row r) { return number(r.control.predicted_kept_mass); }},
     {Metric::kAtFloor, "at_floor", [](Row r) { return flag(r.control.saturated); }},
     {Metric::kLossTotal, "loss_total",
      [](Row r) { return loss(r, &ControllerState::Losses::total); }},
     {Metric::kLossPower, "loss_power",
      [](Row r) { return loss(r, &ControllerState::Losses::power); }},
     {Metric::kLossTemperature, "loss_temperature",
      [](Row r) { return loss(r, &ControllerState::Losses::temperature); }},
     {Metric::kLossLatency, "loss_latency",
      [](Row r) { return loss(r, &ControllerState::Losses::latency); }},
     {Metric::kLossThroughput, "loss_throughput",
      [](Row r) { return loss(r, &ControllerState::Losses::throughput); }},
     {Metric::kLossQuality, "loss_quality",
      [](Row r) { return loss(r, &ControllerState::Losses::quality); }},
     {Metric::kParameterShift, "parameter_shift",
      [](Row r) { return loss(r, &ControllerState::Losses::parameter_shift); }},
     {Metric::kLearningRate, "learning_rate",
      [](Row r) { return loss(r, &ControllerState::Losses::learning_rate); }},
     {Metric::kPowerTarget, "power_target_w", [](Row r) { return number(r.targets.power); }},
     {Metric::kTemperatureTarget, "temperature_target_c",
      [](Row r) { return number(r.targets.temperature); }},
     {Metric::kStepTarget, "step_target_ms", [](Row r) { return number(r.targets.step_time); },
      kMilli},
     {Metric::kBetweenTokensTarget, "between_tokens_target_ms",
      [](Row r) { return number(r.targets.between_tokens); }, kMilli},
     {Metric::kFirstTokenTarget, "first_token_target_ms",
      [](Row r) { return number(r.targets.to_first_token); }, kMilli},
     {Metric::kViolation, "violation", [](Row r) { return flag(r.violation); }},
     {Metric::kFallback, "fallback", nullptr, 1.0, false,
      [](Row r) { return std::string_view(r.control.fallback); }}}};

constexpr bool in_order() {
  for (std::size_t i = 0; i < kMetrics; ++i) {
    if (kColumns[i].metric != static_cast<Metric>(i)) return false;
  }
  return true;
}
static_assert(in_order(), "the table follows the enumeration");

}  // namespace

const MetricsColumn& metrics_column(Metric metric) {
  return kColumns[static_cast<std::size_t>(metric)];
}

bool is_of_serving(Metric metric) {
  return (metric >= Metric::kDecidedPeriod && metric <= Metric::kTokensInTime) ||
         metric == Metric::kBetweenTokensTarget || metric == Metric::kFirstTokenTarget;
}

std::string active_experts_column(int layer) {
  return fmt::format("active_experts_layer_{}", layer);
}

std::optional<double> metric_value(const CsvReader& csv, std::size_t place, Metric metric) {
  const auto cell = csv.number(place);
  return cell ? std::optional(*cell / metrics_column(metric).file_unit) : std::nullopt;
}

std::vector<std::string> metrics_header(int layers) {
  std::vector<std::string> names;
  for (const MetricsColumn& column : kColumns) {
    names.emplace_back(column.name);
    if (column.metric != Metric::kKeptMass) continue;
    for (int l = 0; l < layers; ++l) names.push_back(active_experts_column(l));
  }
  return names;
}

}  // namespace thermoe
