// SPDX-License-Identifier: Apache-2.0
#include "report/strategy_recorder.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>

#include "core/errors.h"

namespace thermoe {
namespace {

using Kind = TargetOutcome::Kind;

constexpr Seconds kWindow{1.0};
constexpr Seconds kHold{5.0};
constexpr double kFloorShare = 0.25;
constexpr std::size_t kMaxReasons = 8;

double mean(const std::vector<double>& values, std::size_t from = 0) {
  if (from >= values.size()) return 0.0;
  return std::accumulate(values.begin() + static_cast<std::ptrdiff_t>(from), values.end(), 0.0) /
         static_cast<double>(values.size() - from);
}

}  // namespace

StrategyRecorder::StrategyRecorder(RecorderOptions options)
    : options_(std::move(options)),
      power_1s_(kWindow, options_.tick),
      step_1s_(kWindow, options_.tick),
      usage_(options_.layers, options_.experts) {}

bool StrategyRecorder::violates(const MetricsRow& row, Seconds step_time_1s) const {
  const Targets& t = options_.targets;
  return (t.power && row.truth.power_1s.value > upper_limit(Kind::kPower, t.power->value)) ||
         (t.temperature &&
          row.truth.temperature.value > upper_limit(Kind::kTemperature, t.temperature->value)) ||
         (t.step_time && step_time_1s.value > upper_limit(Kind::kStepTime, t.step_time->value));
}

void StrategyRecorder::add(MetricsRow& row, Joules energy) {
  row.truth.power_1s = Watts(power_1s_.add(row.truth.power.value));
  row.violation = violates(row, Seconds(step_1s_.add(row.step.step_time.value)));
  ticks_.push_back({.power = row.truth.power,
                    .temperature = row.truth.temperature,
                    .step_time = row.step.step_time,
                    .steps = row.step.steps,
                    .tokens = row.step.tokens,
                    .active = row.stats.mean_active(),
                    .at_floor = row.control.at_floor});
  quality_.push_back(row.quality);
  usage_.add(row.stats);
  energy_ += energy;
  gpu_utilisation_ += row.truth.gpu_utilisation;
  memory_utilisation_ += row.truth.memory_utilisation;

  const std::string& reason = row.control.fallback;
  if (!reason.empty()) {
    ++fallen_ticks_;
    if (fallback_.empty()) ++fallbacks_;
    // Reasons may hold times: the first few tell the story.
    if (reasons_.size() < kMaxReasons &&
        std::find(reasons_.begin(), reasons_.end(), reason) == reasons_.end()) {
      reasons_.push_back(reason);
    }
  }
  fallback_ = reason;
}

std::vector<double> StrategyRecorder::signal(Kind kind) const {
  std::vector<double> values;
  values.reserve(ticks_.size());
  for (const Tick& tick : ticks_) {
    values.push_back(kind == Kind::kPower         ? tick.power.value
                     : kind == Kind::kTemperature ? tick.temperature.value
                                                  : 1e3 * tick.step_time.value);
  }
  return values;
}

TargetOutcome StrategyRecorder::outcome(Kind kind, double target) const {
  const std::vector<double> raw = signal(kind);
  const std::vector<double> means = moving_mean(raw, kWindow, options_.tick);
  std::span<const double> disturbed = means;
  if (options_.disturbed_until) {
    const auto ticks =
        static_cast<std::size_t>(std::lround(*options_.disturbed_until / options_.tick));
    disturbed = disturbed.first(std::min(disturbed.size(), ticks));
  }
  const double low = lower_limit(kind, target);
  const double high = upper_limit(kind, target);
  TargetOutcome out{
      .kind = kind,
      .target = target,
      .violation_fraction = share_above(means, high).value_or(0.0),
      .settling = settling_time(disturbed, options_.tick, low, high, options_.disturbed_at, kHold),
      .mean = mean(raw),
      .steady = mean(raw, raw.size() * 3 / 4),
      .highest = *std::max_element(means.begin(), means.end())};

  std::vector<double> at_floor;
  for (std::size_t i = 0; i < ticks_.size(); ++i) {
    if (ticks_[i].at_floor) at_floor.push_back(raw[i]);
  }
  const double share = static_cast<double>(at_floor.size()) / static_cast<double>(raw.size());
  const double held = mean(at_floor);
  if (share >= kFloorShare && held > (kind == Kind::kTemperature ? high : target)) {
    out.best_held = held;
  }
  return out;
}

void StrategyRecorder::summarise_quality(StrategySummary& summary) const {
  double bits = 0.0, baseline = 0.0, kl = 0.0, agreement = 0.0;
  int paired = 0, sampled = 0;
  for (const StepQuality& q : quality_) {
    bits += q.bits_per_byte;
    if (q.baseline_bits) baseline += *q.baseline_bits, ++paired;
    if (!q.kl_to_baseline) continue;
    kl += *q.kl_to_baseline;
    agreement += q.top1_agreement.value_or(0.0);
    ++sampled;
  }
  summary.bits_per_byte = bits / static_cast<double>(quality_.size());
  if (paired == static_cast<int>(quality_.size()))
    summary.baseline_bits_per_byte = baseline / paired;
  if (sampled > 0) {
    summary.kl_to_baseline = kl / sampled;
    summary.top1_agreement = agreement / sampled;
  }
}

StrategySummary StrategyRecorder::summary() const {
  THERMOE_EXPECT(!ticks_.empty(), "no tick was recorded");
  const auto count = static_cast<double>(ticks_.size());
  const Seconds duration = count * options_.tick;
  StrategySummary s{.name = options_.name};
  double tokens = 0.0, active = 0.0;
  std::vector<Weighted> step_times;
  s.max_temperature = ticks_.front().temperature;
  for (const Tick& tick : ticks_) {
    tokens += tick.tokens;
    active += tick.active;
    s.max_temperature = std::max(s.max_temperature, tick.temperature);
    step_times.push_back({tick.step_time.value, tick.steps});
  }
  s.tokens_per_second = tokens / duration.value;
  s.joules_per_token = tokens > 0 ? energy_.value / tokens : 0.0;
  s.mean_power = energy_ / duration;
  s.p50_step = Seconds(percentile(step_times, 0.50).value_or(0.0));
  s.p99_step = Seconds(percentile(step_times, 0.99).value_or(0.0));
  s.mean_active_experts = active / count;
  s.expert_load_cv = usage_.mean_load().coefficient_of_variation;
  s.gpu_utilisation = gpu_utilisation_ / count;
  s.memory_utilisation = memory_utilisation_ / count;
  s.fallbacks = fallbacks_;
  s.fallback_share = fallen_ticks_ / count;
  s.fallback_reasons = reasons_;
  summarise_quality(s);
  const Targets& t = options_.targets;
  if (t.power) s.targets.push_back(outcome(Kind::kPower, t.power->value));
  if (t.temperature) s.targets.push_back(outcome(Kind::kTemperature, t.temperature->value));
  if (t.step_time) s.targets.push_back(outcome(Kind::kStepTime, 1e3 * t.step_time->value));
  return s;
}

}  // namespace thermoe
