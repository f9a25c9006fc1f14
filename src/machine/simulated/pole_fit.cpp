// SPDX-License-Identifier: Apache-2.0
#include "machine/simulated/pole_fit.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/errors.h"
#include "core/least_squares.h"

namespace thermoe {
namespace {

/// An unknown of which the others explain all but this share is not told apart from them.
constexpr double kLeastShare = 1e-4;

/// The response is linear in [ambient, r_0, r_1, ...].
std::vector<LinearEquation> equations(const std::vector<HeatTrace>& traces, Watts idle,
                                      const std::vector<Seconds>& taus) {
  const auto slowest = static_cast<std::size_t>(std::ranges::max_element(taus) - taus.begin());
  std::vector<LinearEquation> all;
  for (const HeatTrace& trace : traces) {
    std::vector<double> smoothed(taus.size(), idle.value);  // power as each pole sees it
    smoothed[slowest] = 0.0;
    Seconds before{};
    for (const HeatSample& sample : trace) {
      LinearEquation e{.factors = {0.0}};
      // What is left of the start: T(0) = ambient + r . idle of the others + the slowest's share.
      const double left = std::exp(-(sample.at / taus[slowest]));
      for (std::size_t k = 0; k < taus.size(); ++k) {
        const double kept = std::exp(-((sample.at - before) / taus[k]));
        smoothed[k] = kept * smoothed[k] + (1.0 - kept) * sample.power.value;
        e.factors.push_back(smoothed[k] - (k == slowest ? 0.0 : left * idle.value));
      }
      e.factors[0] = 1.0 - left;
      e.value = (sample.temperature - left * trace.front().temperature).value;
      all.push_back(std::move(e));
      before = sample.at;
    }
  }
  return all;
}

double rms_of(const std::vector<LinearEquation>& all, const std::vector<double>& x) {
  double squares = 0.0;
  for (const LinearEquation& e : all) {
    double error = -e.value;
    for (std::size_t i = 0; i < x.size(); ++i) error += e.factors[i] * x[i];
    squares += error * error;
  }
  return std::sqrt(squares / static_cast<double>(all.size()));
}

}  // namespace

std::optional<PoleFit> fit_poles(const std::vector<HeatTrace>& traces, Watts idle,
                                 const std::vector<Seconds>& time_constants) {
  THERMOE_EXPECT(!time_constants.empty(), "a thermal fit needs at least one time constant");
  const std::vector<LinearEquation> all = equations(traces, idle, time_constants);
  THERMOE_EXPECT(!all.empty(), "a thermal fit needs samples");
  const std::size_t count = 1 + time_constants.size();
  std::vector<std::size_t> unknowns;
  for (std::size_t i = 0; i < count; ++i) unknowns.push_back(i);
  auto x = least_squares(all, unknowns, kLeastShare);
  // A pole that would cool with power is none: without it, until all are sound.
  while (x) {
    const auto least = std::ranges::min_element(x->begin() + 1, x->end());
    if (*least >= 0.0) break;
    std::erase(unknowns, static_cast<std::size_t>(least - x->begin()));
    x = least_squares(all, unknowns, kLeastShare);
  }
  if (!x) return std::nullopt;
  PoleFit fit{.parameters = {.ambient = Celsius(x->front())}, .rms = rms_of(all, *x)};
  for (std::size_t k = 0; k < time_constants.size(); ++k) {
    fit.parameters.poles.push_back({KelvinPerWatt((*x)[k + 1]), time_constants[k]});
  }
  return fit;
}

}  // namespace thermoe
