// SPDX-License-Identifier: Apache-2.0
#include "report/summarise.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/errors.h"
#include "report/target_statistics.h"

namespace thermoe {
namespace {

using Kind = TargetOutcome::Kind;
using Values = std::span<const double>;

constexpr Seconds kHold{5.0};
constexpr double kFloorShare = 0.25;

/// Mean over the values that are there; absent where none is.
std::optional<double> mean(Values values) {
  double sum = 0.0;
  std::size_t count = 0;
  for (const double value : values) {
    if (std::isnan(value)) continue;
    sum += value;
    ++count;
  }
  if (count == 0) return std::nullopt;
  return sum / static_cast<double>(count);
}

double sum(Values values) {
  double total = 0.0;
  for (const double value : values) {
    if (!std::isnan(value)) total += value;
  }
  return total;
}

double highest(Values values) {
  double most = -std::numeric_limits<double>::infinity();
  for (const double value : values) {
    if (value > most) most = value;
  }
  return std::isfinite(most) ? most : 0.0;
}

bool complete(Values values) {
  return std::none_of(values.begin(), values.end(), [](double v) { return std::isnan(v); });
}

/// Of the time, in which energy is known: what is not known is not zero.
double known_share(const StrategyTicks& ticks) {
  if (complete(ticks.energy)) return ticks[Metric::kTime].back() > 0 ? 1.0 : 0.0;
  const Values end = ticks[Metric::kTime];
  double known = 0.0;
  for (std::size_t i = 0; i < ticks.count(); ++i) {
    if (!std::isnan(ticks.energy[i])) known += end[i] - (i > 0 ? end[i - 1] : 0.0);
  }
  return known / end.back();
}

/// Mean of the ticks at the controller's floor, where that was often and the target was broken.
std::optional<double> best_held(const StrategyTicks& ticks, const HeldTarget& target, Values raw) {
  const Values at_floor = ticks[Metric::kAtFloor];
  std::vector<double> there;
  for (std::size_t i = 0; i < raw.size(); ++i) {
    if (at_floor[i] > 0) there.push_back(raw[i]);
  }
  const double share = static_cast<double>(there.size()) / static_cast<double>(raw.size());
  const double held = mean(there).value_or(0.0);
  const double broken =
      target.kind == Kind::kTemperature ? upper_limit(target.kind, target.value) : target.value;
  return share >= kFloorShare && held > broken ? std::optional(held) : std::nullopt;
}

TargetOutcome outcome(const StrategyTicks& ticks, const HeldTarget& target,
                      const SummaryOptions& options) {
  std::vector<double> raw(ticks.count());
  const Values values = ticks[target.metric];
  std::transform(values.begin(), values.end(), raw.begin(),
                 [&](double value) { return target.unit * value; });
  const std::vector<double> means =
      moving_mean(raw, std::max(kTargetWindow, options.tick), options.tick);
  const double high = upper_limit(target.kind, target.value);
  TargetOutcome out{.kind = target.kind,
                    .target = target.value,
                    .violation_fraction = share_above(means, high).value_or(0.0),
                    .over_target_fraction = share_above(means, target.value).value_or(0.0),
                    .mean = mean(raw).value_or(0.0),
                    .steady = mean(Values(raw).subspan(raw.size() * 3 / 4)).value_or(0.0),
                    .highest = highest(means),
                    .best_held = best_held(ticks, target, raw)};
  if (!options.disturbed_at) return out;
  Values disturbed = means;
  if (options.disturbed_until) {
    const auto last =
        static_cast<std::size_t>(std::lround(*options.disturbed_until / options.tick));
    disturbed = disturbed.first(std::min(disturbed.size(), last));
  }
  out.settling = settling_time(disturbed, options.tick, lower_limit(target.kind, target.value),
                               high, *options.disturbed_at, kHold);
  return out;
}

void summarise_steps(const StrategyTicks& ticks, StrategySummary& s) {
  const Values time = ticks[Metric::kStepTime];
  const Values steps = ticks[Metric::kSteps];
  std::vector<Weighted> step_times;
  for (std::size_t i = 0; i < ticks.count(); ++i) {
    if (!std::isnan(time[i]) && steps[i] > 0) step_times.push_back({time[i], steps[i]});
  }
  if (step_times.empty()) return;
  s.p50_step = Seconds(percentile(step_times, 0.50).value());
  s.p99_step = Seconds(percentile(step_times, 0.99).value());
}

void summarise_quality(const StrategyTicks& ticks, StrategySummary& s) {
  s.kept_mass = mean(ticks[Metric::kKeptMass]);
  s.quality_loss = mean(ticks[Metric::kQualityLoss]);
  s.bits_per_byte = mean(ticks[Metric::kBits]);
  // Only all of the bytes are the same bytes.
  const Values baseline = ticks[Metric::kBaselineBits];
  if (complete(baseline)) s.baseline_bits_per_byte = mean(baseline);
  s.kl_to_baseline = mean(ticks[Metric::kKl]);
  s.top1_agreement = mean(ticks[Metric::kTop1]);
}

/// Weighted by the steps of each tick: ticks without one have no batch.
double mean_of_steps(const StrategyTicks& ticks, Metric metric) {
  std::vector<Weighted> values;
  for (std::size_t i = 0; i < ticks.count(); ++i) {
    const double steps = ticks[Metric::kSteps][i];
    if (steps > 0.0 && ticks[metric][i] > 0.0) values.push_back({ticks[metric][i], steps});
  }
  return weighted_mean(values).value_or(0.0);
}

void summarise_serving(const StrategyTicks& ticks, StrategySummary& s) {
  const Values waiting = ticks[Metric::kWaiting];
  if (!complete(waiting)) return;  // nothing arrived, or an older run
  s.serving =
      ServingFigures{.goodput = sum(ticks[Metric::kTokensInTime]) / ticks[Metric::kTime].back(),
                     .to_first_token = latency_of(ticks.to_first_token),
                     .between_tokens = latency_of(ticks.between_tokens),
                     .batch = mean_of_steps(ticks, Metric::kBatch),
                     .rows = mean_of_steps(ticks, Metric::kRows),
                     .arrived = sum(ticks[Metric::kArrived]),
                     .finished = sum(ticks[Metric::kFinished]),
                     .waiting = mean(waiting).value_or(0.0),
                     .most_waiting = highest(waiting),
                     .still_waiting = waiting.back(),
                     .period = Seconds(mean(ticks[Metric::kDecidedPeriod]).value_or(0.0)),
                     .lambda = mean(ticks[Metric::kLambda]).value_or(0.0)};
}

}  // namespace

std::vector<HeldTarget> held_targets(const Targets& targets) {
  std::vector<HeldTarget> held;
  if (targets.power) held.push_back({Kind::kPower, targets.power->value, Metric::kPower});
  if (targets.temperature) {
    held.push_back({Kind::kTemperature, targets.temperature->value, Metric::kTemperature});
  }
  if (targets.step_time) {
    held.push_back({Kind::kStepTime, 1e3 * targets.step_time->value, Metric::kStepTime, 1e3});
  }
  if (targets.between_tokens) {
    held.push_back(
        {Kind::kBetweenTokens, 1e3 * targets.between_tokens->value, Metric::kBetweenTokens, 1e3});
  }
  if (targets.to_first_token) {
    held.push_back(
        {Kind::kFirstToken, 1e3 * targets.to_first_token->value, Metric::kFirstTokenTime, 1e3});
  }
  return held;
}

StrategySummary summarise(const StrategyTicks& ticks, const SummaryOptions& options) {
  THERMOE_EXPECT(ticks.count() > 0, "{}: no tick was recorded", ticks.name);
  const double duration = ticks[Metric::kTime].back();
  const double tokens = sum(ticks[Metric::kTokens]);
  const double known = known_share(ticks);
  const double power = known > 0 ? sum(ticks.energy) / (known * duration) : 0.0;
  StrategySummary s{.name = ticks.name,
                    .tokens_per_second = duration > 0 ? tokens / duration : 0.0,
                    .mean_power = Watts(power),
                    .energy_share = known,
                    .max_temperature = Celsius(highest(ticks[Metric::kTemperature])),
                    .mean_active_experts = mean(ticks[Metric::kActive]).value_or(0.0),
                    .gpu_utilisation = mean(ticks[Metric::kGpuUtilisation]).value_or(0.0),
                    .memory_utilisation = mean(ticks[Metric::kMemoryUtilisation]).value_or(0.0),
                    .fallbacks = ticks.fallbacks.episodes,
                    .fallback_share = static_cast<double>(ticks.fallbacks.ticks) /
                                      static_cast<double>(ticks.count()),
                    .fallback_reasons = ticks.fallbacks.reasons};
  if (tokens > 0 && known > 0) s.joules_per_token = power * duration / tokens;
  summarise_steps(ticks, s);
  summarise_quality(ticks, s);
  summarise_serving(ticks, s);
  for (const HeldTarget& target : held_targets(options.targets)) {
    s.targets.push_back(outcome(ticks, target, options));
  }
  return s;
}

}  // namespace thermoe
