// SPDX-License-Identifier: Apache-2.0
#include "control/pacer.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/errors.h"

namespace thermoe {
namespace {

constexpr double kBatchAim = 0.9;         // of the batch limit: batches vary about their mean
constexpr double kLatencyAim = 0.995;     // as the tracker's aims, from just below
constexpr double kFirstTokenAim = 0.95;   // a wait is known late
constexpr Seconds kFirstTokenPace{10.0};  // twice as long as waits are averaged over
constexpr Seconds kLongestPeriod{1.0};    // of pacing alone, where nobody gave a latency
/// Where a normal distribution has a fourteenth, three, ... thirteen of it below, in deviations.
constexpr std::array<double, 7> kSevenths{-1.465, -0.792, -0.366, 0.0, 0.366, 0.792, 1.465};
/// Longest period, in steps' own times, while nobody knows what requests ask for: what is generated
/// until then falls as the period grows, and would bound nothing.
constexpr double kBlindStretch = 2.0;
constexpr double kIdleRate = 1e-6;  // tokens a second: the engine idles

}  // namespace

Pacer::Pacer(const ControllerConfig& config)
    : engine_(config.engine.value()),
      batch_costs_(config.batch_costs.value()),
      targets_(config.targets),
      objective_(config.objective),
      paces_(config.strategy != Strategy::kPriceAlone),
      alone_(config.strategy == Strategy::kPacingAlone),
      demand_(config),
      load_(engine_) {}

void Pacer::learn(const Observation& o) {
  if (!o.metrics.serving) return;
  load_.learn(*o.metrics.serving, o.metrics.tick, std::max(state_.step_period, expected_step_));
}

SteadyState Pacer::at_batch(double batch, const BatchCosts& costs, const HardwareTracker& tracker,
                            Seconds period) const {
  const double deviation = std::sqrt(load_.dispersion() * batch);
  SteadyState mean{.batch = batch};
  for (const double z : kSevenths) {
    const double sequences = std::clamp(batch + z * deviation, 1.0, 1.0 * engine_.batch_limit);
    const int rows = engine_.rows(static_cast<int>(std::lround(sequences)));
    Cost cost = demand_.at(rows, costs.at(rows)).cost;
    cost.energy *= std::min(batch, 1.0);  // less than a sequence: for that share of the time one
    const Forecast f = tracker.forecast(cost, period);
    mean.step_time += f.step_time / kSevenths.size();
    mean.gap += std::max(period, f.step_time) / kSevenths.size();
    mean.power += f.power / kSevenths.size();
  }
  return mean;
}

SteadyState Pacer::steady(const BatchCosts& costs, const HardwareTracker& tracker,
                          Seconds period) const {
  const double rate = load_.rate() * load_.stretch();
  const double limit = engine_.batch_limit;
  SteadyState at = at_batch(std::min(rate * period.value, limit), costs, tracker, period);
  // From below: steps lengthen with the batch, and the least batch that keeps up is where it stays.
  for (int i = 0; i < 50; ++i) {
    const double next = std::min(rate * at.gap.value, limit);
    if (next <= at.batch + 1e-2) break;
    at = at_batch(next, costs, tracker, period);
  }
  at.meets = tracker.meets(targets_, at.power, at.step_time);
  return at;
}

bool Pacer::meets_caps_alone() const { return alone_ && (targets_.power || targets_.temperature); }

PeriodRange Pacer::range(Seconds own) const {
  PeriodRange range{.from = own, .to = own, .limit = PeriodLimit::kStepTime};
  if (longest_step_) {
    range.to = *longest_step_;
    range.limit = PeriodLimit::kLatency;
  } else if (meets_caps_alone()) {
    range.to = std::max(own, kLongestPeriod);
    range.limit = PeriodLimit::kSaving;
  }
  if (load_.greatest_rate() < kIdleRate) {
    range.to = std::min(own, range.to);
    return range;
  }
  Seconds fits(kBatchAim * engine_.batch_limit / (load_.greatest_rate() * load_.stretch()));
  if (!load_.knows_requests()) fits = std::min(fits, kBlindStretch * own);
  if (fits < range.to) {
    range.to = fits;
    range.limit = PeriodLimit::kBatchLimit;
  }
  return range;
}

PeriodChoice Pacer::wanted(const PeriodRange& range, const SteadyAt& settled,
                           const SteadyAt& now) const {
  if (!meets_caps_alone()) return period_that_saves(range, settled);
  const PeriodChoice soon = period_that_meets(range, settled);
  const PeriodChoice at_once = period_that_meets(range, now);
  return soon.period < at_once.period ? at_once : soon;
}

void Pacer::choose(const Observation& o, const Demand& now, const HardwareTracker& tracker) {
  longest_step_.reset();
  if (const auto& target = targets_.between_tokens) {
    longest_step_ = (kLatencyAim / load_.stretch()) * *target;
  }
  if (!paces_ || objective_ == Objective::kThroughput) {
    say({}, PeriodLimit::kObjective);
    const Forecast f = tracker.forecast(now.cost, {});
    reached_ = tracker.meets(targets_, f.power, f.step_time);
    return;
  }
  const BatchCosts& costs = o.batch_costs != nullptr ? *o.batch_costs : batch_costs_;
  const Seconds own = tracker.forecast(now.cost).step_time;
  const PeriodRange allowed = range(own);
  const bool idle = load_.greatest_rate() < kIdleRate || demand_.empty();
  const SteadyAt settled = [&](Seconds p) { return steady(costs, tracker, p); };
  const SteadyAt at_once = [&](Seconds p) {
    const Forecast f = tracker.forecast(now.cost, p);
    return SteadyState{.power = f.power, .meets = tracker.meets(targets_, f.power, f.step_time)};
  };
  PeriodChoice choice{.period = allowed.to, .limit = allowed.limit};
  if (!idle) choice = wanted(allowed, settled, at_once);
  reached_ = choice.steady.meets && (!longest_step_ || own <= *longest_step_);
  const double slow = log_period_.update(std::log(choice.period.value), o.metrics.tick);
  const Seconds period = std::min(std::max(Seconds(std::exp(slow)), own), allowed.to);
  say(period, period == allowed.to ? allowed.limit : choice.limit);
  hold_first_token(own, o.metrics.tick);
  if (load_.crowded()) say({}, PeriodLimit::kBatchLimit);
  if (idle) return;
  const SteadyState at = settled(state_.step_period);
  state_.batch = at.batch;
  state_.power = at.power;
}

void Pacer::hold_first_token(Seconds own, Seconds dt) {
  const auto& target = targets_.to_first_token;
  const std::optional<Seconds> waited = load_.to_first_token();
  if (!target || !waited) return;
  const double slack = kFirstTokenAim - *waited / *target;
  patience_ += dt / kFirstTokenPace * std::clamp(slack, -1.0, 0.3);
  patience_ = std::clamp(patience_, 0.0, 2.0);
  first_token_unmet_ = patience_ <= 0.0 && *waited > *target;
  const Seconds shortest = std::min(own, state_.step_period);
  const Seconds period = patience_ < 1.0
                             ? patience_ * shortest
                             : shortest + (patience_ - 1.0) * (state_.step_period - shortest);
  if (period < state_.step_period) say(period, PeriodLimit::kFirstToken);
}

}  // namespace thermoe
