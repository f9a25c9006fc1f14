// SPDX-License-Identifier: Apache-2.0
#include "report/serving_latency.h"

#include "report/summary.h"

namespace thermoe {
namespace {

using Kind = TargetOutcome::Kind;

bool within(Seconds time, Kind kind, const std::optional<Seconds>& target) {
  return !target || time.value <= upper_limit(kind, target->value);
}

}  // namespace

std::vector<Weighted> first_token_times(const ServingTick& tick) {
  std::vector<Weighted> times;
  for (const Seconds time : tick.to_first_token) times.push_back({time.value, 1.0});
  return times;
}

std::vector<Weighted> token_gaps(const ServingTick& tick) {
  std::vector<Weighted> gaps;
  for (const TokenGap& gap : tick.between_tokens) gaps.push_back({gap.gap.value, gap.tokens});
  return gaps;
}

std::optional<double> weighted_mean(const std::vector<Weighted>& values) {
  double sum = 0.0, weight = 0.0;
  for (const Weighted& one : values) {
    sum += one.weight * one.value;
    weight += one.weight;
  }
  return weight > 0.0 ? std::optional(sum / weight) : std::nullopt;
}

double tokens_in_time(const ServingTick& tick, const Targets& targets) {
  double tokens = 0.0;
  for (const FinishedRequest& request : tick.requests) {
    if (within(request.to_first_token, Kind::kFirstToken, targets.to_first_token) &&
        within(request.between_tokens, Kind::kBetweenTokens, targets.between_tokens)) {
      tokens += request.tokens;
    }
  }
  return tokens;
}

std::optional<Latency> latency_of(const std::vector<Weighted>& values) {
  const auto mean = weighted_mean(values);
  if (!mean) return std::nullopt;
  return Latency{.mean = Seconds(*mean),
                 .p50 = Seconds(percentile(values, 0.50).value()),
                 .p99 = Seconds(percentile(values, 0.99).value())};
}

}  // namespace thermoe
