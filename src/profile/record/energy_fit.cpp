// SPDX-License-Identifier: Apache-2.0
#include "profile/record/energy_fit.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/least_squares.h"

namespace thermoe {
namespace {

constexpr std::size_t kTerms = 3;
/// A term of which the others explain all but this share is not told apart from them.
constexpr double kLeastShare = 1e-6;

/// Terms of a sample over its energy: what a coefficient adds to the prediction's share of it,
/// which should be 1 together.
LinearEquation equation_of(const EnergySample& sample) {
  const double energy = sample.energy.value;
  return {.factors = {sample.latency.value / energy, sample.traffic.bytes / energy,
                      sample.traffic.flops / energy},
          .value = 1.0};
}

EnergyModel model_of(const std::vector<double>& c, std::span<const EnergySample> samples) {
  EnergyModel model{.static_power = Watts(c[0]),
                    .per_byte = Joules(c[1]),
                    .per_flop = Joules(c[2]),
                    .samples = static_cast<int>(samples.size())};
  for (const EnergySample& sample : samples) {
    const double left = model.at(sample.latency, sample.traffic) / sample.energy - 1.0;
    model.residual_rms += left * left;
    model.residual_max = std::max(model.residual_max, std::abs(left));
  }
  model.residual_rms = std::sqrt(model.residual_rms / static_cast<double>(samples.size()));
  return model;
}

}  // namespace

double neighbouring_ratio(const EnergyAnchor& at, std::span<const EnergyAnchor> anchors) {
  constexpr double kNear = 0.25;  // half a doubling, squared: what is nearer hardly counts more
  double sum = 0.0, weights = 0.0;
  for (const EnergyAnchor& anchor : anchors) {
    const double tokens = std::log2(anchor.tokens / at.tokens);
    const double active = std::log2(anchor.active_experts / at.active_experts);
    const double distance = tokens * tokens + active * active + kNear;
    const double weight = 1.0 / (distance * distance);
    sum += weight * std::log(anchor.ratio), weights += weight;
  }
  return weights > 0.0 ? std::exp(sum / weights) : 1.0;
}

double left_by_neighbours(std::span<const EnergyAnchor> anchors) {
  if (anchors.size() < 2) return 0.0;
  std::vector<EnergyAnchor> others(anchors.begin() + 1, anchors.end());
  double squares = 0.0;
  for (std::size_t i = 0; i < anchors.size(); ++i) {
    const double left = neighbouring_ratio(anchors[i], others) / anchors[i].ratio - 1.0;
    squares += left * left;
    if (i < others.size()) others[i] = anchors[i];
  }
  return std::sqrt(squares / static_cast<double>(anchors.size()));
}

std::optional<EnergyModel> fit_energy(std::span<const EnergySample> samples) {
  if (samples.size() < kFewestEnergySamples) return std::nullopt;
  std::vector<LinearEquation> equations;
  for (const EnergySample& sample : samples) equations.push_back(equation_of(sample));
  std::optional<EnergyModel> best;
  // With three coefficients every choice of those that are 0 can be tried.
  for (unsigned choice = 1; choice < 1U << kTerms; ++choice) {
    std::vector<std::size_t> terms;
    for (std::size_t i = 0; i < kTerms; ++i) {
      if ((choice >> i & 1U) != 0) terms.push_back(i);
    }
    const auto c = least_squares(equations, terms, kLeastShare);
    if (!c || std::ranges::any_of(*c, [](double x) { return x < 0.0; })) continue;
    const EnergyModel model = model_of(*c, samples);
    if (!best || model.residual_rms < best->residual_rms) best = model;
  }
  return best;
}

}  // namespace thermoe
