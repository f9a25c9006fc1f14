// SPDX-License-Identifier: Apache-2.0
#include "profile/record/energy_fit.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace thermoe {
namespace {

constexpr std::size_t kTerms = 3;
using Terms = std::array<double, kTerms>;

/// Terms of a sample over its energy: what a coefficient adds to the prediction's share of it.
Terms terms_of(const EnergySample& sample) {
  const double energy = sample.energy.value;
  return {sample.latency.value / energy, sample.traffic.bytes / energy,
          sample.traffic.flops / energy};
}

/// Least squares of terms * coefficients = 1 with only the coefficients of `used`, or nothing where
/// the samples do not tell them apart. Columns are scaled to length 1 first.
std::optional<Terms> solve(std::span<const EnergySample> samples,
                           const std::array<bool, kTerms>& used) {
  Terms length{};
  for (const EnergySample& sample : samples) {
    const Terms t = terms_of(sample);
    for (std::size_t i = 0; i < kTerms; ++i) length[i] += t[i] * t[i];
  }
  for (double& l : length) l = std::sqrt(l);
  std::array<std::array<double, kTerms + 1>, kTerms> m{};
  for (const EnergySample& sample : samples) {
    const Terms t = terms_of(sample);
    for (std::size_t i = 0; i < kTerms; ++i) {
      if (!used[i] || length[i] == 0.0) continue;
      for (std::size_t j = 0; j < kTerms; ++j) {
        if (used[j] && length[j] > 0.0) m[i][j] += t[i] * t[j] / (length[i] * length[j]);
      }
      m[i][kTerms] += t[i] / length[i];
    }
  }
  constexpr double kSingular = 1e-6;
  for (std::size_t i = 0; i < kTerms; ++i) {
    if (!used[i] || length[i] == 0.0) m[i][i] = 1.0;  // a coefficient of 0
    if (m[i][i] < kSingular) return std::nullopt;     // positive definite: no pivoting
    for (std::size_t row = 0; row < kTerms; ++row) {
      if (row == i) continue;
      const double factor = m[row][i] / m[i][i];
      for (std::size_t j = i; j <= kTerms; ++j) m[row][j] -= factor * m[i][j];
    }
  }
  Terms coefficients{};
  for (std::size_t i = 0; i < kTerms; ++i) {
    if (used[i] && length[i] > 0.0) coefficients[i] = m[i][kTerms] / m[i][i] / length[i];
  }
  return coefficients;
}

EnergyModel model_of(const Terms& c, std::span<const EnergySample> samples) {
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

std::optional<EnergyModel> fit_energy(std::span<const EnergySample> samples) {
  if (samples.size() < kFewestEnergySamples) return std::nullopt;
  std::optional<EnergyModel> best;
  // With three coefficients every choice of those that are 0 can be tried.
  for (unsigned choice = 1; choice < 1U << kTerms; ++choice) {
    const auto c = solve(samples, {(choice & 1U) != 0, (choice & 2U) != 0, (choice & 4U) != 0});
    if (!c || std::ranges::any_of(*c, [](double x) { return x < 0.0; })) continue;
    const EnergyModel model = model_of(*c, samples);
    if (!best || model.residual_rms < best->residual_rms) best = model;
  }
  return best;
}

}  // namespace thermoe
