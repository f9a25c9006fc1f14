// SPDX-License-Identifier: Apache-2.0
#include "metrics/exported_metrics.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <utility>

namespace thermoe {
namespace {

constexpr auto kGauge = MetricType::kGauge;
constexpr auto kCounter = MetricType::kCounter;
constexpr auto kHistogram = MetricType::kHistogram;

constexpr std::array<ExportedMetric, static_cast<std::size_t>(Exported::kCount)> kExported = {{
    {Exported::kBuildInfo, "thermoe_build_info", kGauge, "1, with the version of thermoe."},
    {Exported::kSourceUp, "thermoe_source_up", kGauge,
     "Whether this source of readings answers (1) or has gone silent (0)."},
    {Exported::kGpuPower, "thermoe_gpu_power_watts", kGauge,
     "Power of the GPU as its driver averages it over a second."},
    {Exported::kGpuPowerInstant, "thermoe_gpu_power_instant_watts", kGauge,
     "Power of the GPU in the newest window of its sensor."},
    {Exported::kGpuPowerLimit, "thermoe_gpu_power_limit_watts", kGauge,
     "Power limit that the driver enforces."},
    {Exported::kGpuEnergy, "thermoe_gpu_energy_joules_total", kCounter,
     "Energy of the GPU: the driver's counter; in a run, energy used since the run began."},
    {Exported::kGpuTemperature, "thermoe_gpu_temperature_celsius", kGauge,
     "Temperature of the GPU's die."},
    {Exported::kGpuMemoryTemperature, "thermoe_gpu_memory_temperature_celsius", kGauge,
     "Temperature of the GPU's memory."},
    {Exported::kGpuUtilisation, "thermoe_gpu_utilisation_ratio", kGauge,
     "Share of time in which a kernel ran."},
    {Exported::kGpuMemoryUtilisation, "thermoe_gpu_memory_utilisation_ratio", kGauge,
     "Share of time in which the GPU's memory moved data."},
    {Exported::kGpuSmClock, "thermoe_gpu_sm_clock_hertz", kGauge, "Clock of the multiprocessors."},
    {Exported::kGpuMemoryClock, "thermoe_gpu_memory_clock_hertz", kGauge,
     "Clock of the GPU's memory."},
    {Exported::kGpuThrottleReasons, "thermoe_gpu_throttle_reasons", kGauge,
     "NVML's reasons for the clocks, a bit mask."},
    {Exported::kHostPower, "thermoe_host_power_watts", kGauge,
     "Power of a sensor domain of the host."},
    {Exported::kHostEnergy, "thermoe_host_energy_joules_total", kCounter,
     "Energy of a sensor domain of the host since it was first read."},
    {Exported::kHostTemperature, "thermoe_host_temperature_celsius", kGauge,
     "Temperature of a sensor of the host."},
    {Exported::kTarget, "thermoe_target", kGauge,
     "Cap that the controller holds: power in watts, temperature in degrees Celsius, step_time in "
     "seconds."},
    {Exported::kTargetViolated, "thermoe_target_violated", kGauge,
     "Whether a target is exceeded: the mean over 1 s of its true value, by more than its margin."},
    {Exported::kViolationSeconds, "thermoe_violation_seconds_total", kCounter,
     "Time with a target exceeded, in seconds of the run."},
    {Exported::kActivationPrice, "thermoe_activation_price", kGauge,
     "lambda, the price of an active expert; 0 is plain top-k."},
    {Exported::kPlanAtFloor, "thermoe_plan_at_floor", kGauge,
     "Whether the plan can give no more: the target is out of reach."},
    {Exported::kFallbackActive, "thermoe_fallback_active", kGauge,
     "Whether another plan runs than the strategy's own."},
    {Exported::kActiveExperts, "thermoe_active_experts", kGauge,
     "Distinct experts that received a token in the newest step, by layer."},
    {Exported::kKeptMass, "thermoe_kept_mass_ratio", kGauge,
     "Share of a token's own top-k router mass that its experts hold, mean over tokens and "
     "layers."},
    {Exported::kStepTime, "thermoe_step_time_seconds", kGauge,
     "Mean duration of a decode step in the newest tick."},
    {Exported::kStepPeriod, "thermoe_step_period_seconds", kGauge,
     "Mean time from one decode step's start to the next in the newest tick."},
    {Exported::kSteps, "thermoe_steps_total", kCounter, "Decode steps."},
    {Exported::kTokens, "thermoe_tokens_total", kCounter, "Tokens decoded."},
    {Exported::kRequestsRunning, "thermoe_requests_running", kGauge, "Sequences under way."},
    {Exported::kRequestsWaiting, "thermoe_requests_waiting", kGauge,
     "Requests that wait for a place in the batch."},
    {Exported::kBatchSequences, "thermoe_batch_sequences", kGauge,
     "Mean sequences that a decode step held in the newest tick."},
    {Exported::kRequestsFinished, "thermoe_requests_finished_total", kCounter,
     "Requests that have all their tokens."},
    {Exported::kTimeToFirstToken, "thermoe_time_to_first_token_seconds", kHistogram,
     "Time from a request's arrival to its first token."},
    {Exported::kInterTokenLatency, "thermoe_inter_token_latency_seconds", kHistogram,
     "Time from one token of a sequence to its next."},
    {Exported::kRunTime, "thermoe_run_time_seconds", kGauge,
     "Time of the strategy's turn; a simulated machine's own time."},
}};

}  // namespace

std::span<const ExportedMetric> exported_metrics() { return kExported; }

MetricsPage::MetricsPage() {
  families_.reserve(kExported.size());
  for (const ExportedMetric& metric : kExported) {
    families_.push_back(
        {.name = std::string(metric.name), .type = metric.type, .help = std::string(metric.help)});
  }
}

void MetricsPage::add(Exported metric, std::vector<MetricLabel> labels,
                      std::optional<double> value) {
  if (!value || !std::isfinite(*value)) return;
  samples(metric).push_back({.labels = std::move(labels), .value = *value});
}

void MetricsPage::add(Exported metric, const std::vector<MetricLabel>& labels,
                      const Histogram& histogram) {
  std::vector<MetricSample>& to = samples(metric);
  double below = 0.0;
  for (std::size_t bucket = 0; bucket < histogram.counts().size(); ++bucket) {
    below += histogram.counts()[bucket];
    const bool last = bucket == histogram.bounds().size();
    to.push_back({.labels = labels, .value = below, .suffix = "_bucket"});
    to.back().labels.emplace_back("le", last ? "+Inf" : fmt::to_string(histogram.bounds()[bucket]));
  }
  to.push_back({.labels = labels, .value = histogram.sum(), .suffix = "_sum"});
  to.push_back({.labels = labels, .value = below, .suffix = "_count"});
}

std::vector<MetricSample>& MetricsPage::samples(Exported metric) {
  return families_[static_cast<std::size_t>(metric)].samples;
}

}  // namespace thermoe
