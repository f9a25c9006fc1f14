// SPDX-License-Identifier: Apache-2.0
#include "report/strategy_ticks.h"

#include <algorithm>
#include <limits>

#include "report/serving_latency.h"

namespace thermoe {
namespace {

constexpr double kAbsent = std::numeric_limits<double>::quiet_NaN();
constexpr std::size_t kMaxReasons = 8;

constexpr Metric kKept[] = {Metric::kTime,           Metric::kPower,
                            Metric::kPower1s,        Metric::kTemperature,
                            Metric::kGpuUtilisation, Metric::kMemoryUtilisation,
                            Metric::kSteps,          Metric::kTokens,
                            Metric::kStepTime,       Metric::kBits,
                            Metric::kBaselineBits,   Metric::kKl,
                            Metric::kTop1,           Metric::kActive,
                            Metric::kKeptMass,       Metric::kQualityLoss,
                            Metric::kLambda,         Metric::kAtFloor,
                            Metric::kDecidedPeriod,  Metric::kBatch,
                            Metric::kRows,           Metric::kWaiting,
                            Metric::kArrived,        Metric::kFinished,
                            Metric::kFirstTokens,    Metric::kFirstTokenTime,
                            Metric::kBetweenTokens,  Metric::kBetweenTokensP99,
                            Metric::kTokensInTime,   Metric::kLossTotal,
                            Metric::kLossPower,      Metric::kLossTemperature,
                            Metric::kLossLatency,    Metric::kLossThroughput,
                            Metric::kLossQuality};

}  // namespace

void Fallbacks::add(std::string_view reason) {
  if (!reason.empty()) {
    ++ticks;
    if (!fallen) ++episodes;
    // Reasons may hold times: the first few tell the story.
    if (reasons.size() < kMaxReasons &&
        std::find(reasons.begin(), reasons.end(), reason) == reasons.end()) {
      reasons.emplace_back(reason);
    }
  }
  fallen = !reason.empty();
}

std::span<const Metric> StrategyTicks::kept() { return kKept; }

void StrategyTicks::add(const MetricsRow& row) {
  for (const Metric metric : kKept) {
    column(metric).push_back(metrics_column(metric).number(row).value_or(kAbsent));
  }
  energy.push_back(row.truth.energy ? row.truth.energy->value : kAbsent);
  if (const auto& serving = row.step.serving) {
    for (const Weighted& time : first_token_times(*serving)) to_first_token.push_back(time);
    for (const Weighted& gap : token_gaps(*serving)) between_tokens.push_back(gap);
  }
  fallbacks.add(row.control.fallback);
}

}  // namespace thermoe
