// SPDX-License-Identifier: Apache-2.0
#include "control/serving_load.h"

#include <algorithm>
#include <cmath>

namespace thermoe {
namespace {

constexpr Seconds kRequestMemory{60.0};  // of how many tokens requests ask for
constexpr Seconds kGapMemory{10.0};
constexpr Seconds kFirstTokenMemory{5.0};
constexpr Seconds kUncrowded{1.0};  // a queue that has just emptied fills again
constexpr double kFewRequests = 8.0;
constexpr double kMostStretch = 4.0;

double kept(Seconds dt, Seconds memory) { return std::exp(-(dt / memory)); }

}  // namespace

void ServingLoad::learn(const ServingTick& tick, Seconds dt, Seconds paced) {
  if (dt <= Seconds(0)) return;
  served_.update(tick.tokens / dt.value, dt);
  requests_.update(tick.arrived / dt.value, dt);
  batch_.update(tick.batch, dt);
  batch_squared_.update(tick.batch * tick.batch, dt);
  const double of_requests = kept(dt, kRequestMemory);
  finished_ = of_requests * finished_ + tick.finished;
  tokens_of_finished_ = of_requests * tokens_of_finished_ + tick.tokens;

  const double of_gaps = kept(dt, kGapMemory);
  gaps_ *= of_gaps, paced_gaps_ *= of_gaps;
  for (const TokenGap& gap : tick.between_tokens) {
    gaps_ += gap.tokens * gap.gap.value;
    paced_gaps_ += gap.tokens * paced.value;
  }
  const double of_waits = kept(dt, kFirstTokenMemory);
  first_tokens_ *= of_waits, waits_ *= of_waits;
  for (const Seconds wait : tick.to_first_token) first_tokens_ += 1.0, waits_ += wait.value;

  const bool waits = tick.waiting > 0 && tick.running >= batch_limit_;
  uncrowded_for_ = waits ? Seconds(0) : uncrowded_for_ + dt;
  crowded_ = waits || (crowded_ && uncrowded_for_ < kUncrowded);
}

bool ServingLoad::knows_requests() const { return finished_ >= kFewRequests; }

double ServingLoad::rate() const {
  if (!knows_requests()) return served();
  return requests_.value() * tokens_of_finished_ / finished_;
}

double ServingLoad::greatest_rate() const { return std::max(rate(), served()); }

double ServingLoad::stretch() const {
  return paced_gaps_ > 0.0 ? std::clamp(gaps_ / paced_gaps_, 1.0 / kMostStretch, kMostStretch)
                           : 1.0;
}

double ServingLoad::dispersion() const {
  const double mean = batch_.value();
  if (mean <= 0.0) return 0.0;
  return std::clamp((batch_squared_.value() - mean * mean) / mean, 0.0, 1.0);
}

std::optional<Seconds> ServingLoad::to_first_token() const {
  if (first_tokens_ <= 0.0) return std::nullopt;
  return Seconds(waits_ / first_tokens_);
}

}  // namespace thermoe
