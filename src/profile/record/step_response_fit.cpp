// SPDX-License-Identifier: Apache-2.0
#include "profile/record/step_response_fit.h"

#include <algorithm>
#include <cmath>

namespace thermoe {
namespace {

constexpr std::size_t kFewest = 50;   // readings
constexpr double kLeastChange = 3.0;  // degrees
constexpr double kFastest = 0.3;      // seconds
constexpr int kSteps = 40;            // of time constants, evenly in their logarithm

/// A reading's power is of its moment: between two it is their mean.
HeatTrace trace_of(std::span<const ThermalSample> samples) {
  HeatTrace trace;
  Watts before = samples.front().power;
  for (const ThermalSample& sample : samples) {
    trace.push_back({.at = sample.at - samples.front().at,
                     .power = 0.5 * (before + sample.power),
                     .temperature = sample.temperature});
    before = sample.power;
  }
  return trace;
}

}  // namespace

std::optional<PoleFit> fit_step_response(std::span<const ThermalSample> samples, int poles) {
  if (samples.size() < kFewest || samples.back().at - samples.front().at <= Seconds(kFastest)) {
    return std::nullopt;
  }
  const auto [low, high] = std::ranges::minmax_element(samples, {}, &ThermalSample::temperature);
  if ((high->temperature - low->temperature).value < kLeastChange) return std::nullopt;
  const std::vector<HeatTrace> traces{trace_of(samples)};
  std::vector<Seconds> taus;
  taus.reserve(kSteps);
  for (int i = 0; i < kSteps; ++i) {
    taus.emplace_back(kFastest *
                      std::pow(traces[0].back().at.value / kFastest, i / (kSteps - 1.0)));
  }
  std::optional<PoleFit> best;
  const auto consider = [&](const std::vector<Seconds>& constants) {
    auto fit = fit_poles(traces, samples.front().power, constants);
    if (!fit || (best && fit->rms >= best->rms)) return;
    const auto none = [](const ThermalPole& pole) { return pole.resistance.value <= 0.0; };
    if (std::ranges::none_of(fit->parameters.poles, none)) best = std::move(fit);
  };
  for (std::size_t fast = 0; fast < taus.size(); ++fast) {
    if (poles == 1) consider({taus[fast]});
    if (poles == 1) continue;
    for (std::size_t slow = fast + 1; slow < taus.size(); ++slow) {
      consider({taus[fast], taus[slow]});
    }
  }
  return best;
}

}  // namespace thermoe
