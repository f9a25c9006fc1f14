// SPDX-License-Identifier: Apache-2.0
#include "machine/simulated/pole_fit.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/errors.h"

namespace thermoe {
namespace {

/// T = offset + factors . [ambient, r_0, r_1, ...]: the response is linear in these.
struct Equation {
  std::vector<double> factors{};
  double offset = 0.0;
  double temperature = 0.0;
};

std::vector<Equation> equations(const std::vector<HeatTrace>& traces, Watts idle,
                                const std::vector<Seconds>& taus) {
  const auto slowest = static_cast<std::size_t>(std::ranges::max_element(taus) - taus.begin());
  std::vector<Equation> all;
  for (const HeatTrace& trace : traces) {
    std::vector<double> smoothed(taus.size(), idle.value);  // power as each pole sees it
    smoothed[slowest] = 0.0;
    Seconds before{};
    for (const HeatSample& sample : trace) {
      Equation e{.factors = {0.0}, .temperature = sample.temperature.value};
      // What is left of the start: T(0) = ambient + r . idle of the others + the slowest's share.
      const double left = std::exp(-(sample.at / taus[slowest]));
      for (std::size_t k = 0; k < taus.size(); ++k) {
        const double kept = std::exp(-((sample.at - before) / taus[k]));
        smoothed[k] = kept * smoothed[k] + (1.0 - kept) * sample.power.value;
        e.factors.push_back(smoothed[k] - (k == slowest ? 0.0 : left * idle.value));
      }
      e.factors[0] = 1.0 - left;
      e.offset = left * trace.front().temperature.value;
      all.push_back(std::move(e));
      before = sample.at;
    }
  }
  return all;
}

/// An unknown of which the others explain all but this share is not told apart from them.
constexpr double kOwnShare = 1e-4;

/// Solves the normal equations a x = b by elimination, which needs no pivoting in them; false where
/// an unknown cannot be told from those before it.
bool solve(std::vector<std::vector<double>> a, std::vector<double>& b) {
  const std::size_t n = b.size();
  std::vector<double> least(n);
  for (std::size_t i = 0; i < n; ++i) least[i] = kOwnShare * a[i][i];
  for (std::size_t i = 0; i < n; ++i) {
    if (!(a[i][i] > least[i])) return false;
    for (std::size_t row = 0; row < n; ++row) {
      if (row == i) continue;
      const double factor = a[row][i] / a[i][i];
      for (std::size_t col = i; col < n; ++col) a[row][col] -= factor * a[i][col];
      b[row] -= factor * b[i];
    }
  }
  for (std::size_t i = 0; i < n; ++i) b[i] /= a[i][i];
  return true;
}

/// Least squares over these unknowns, the others being 0; empty where they cannot be told apart.
std::vector<double> least_squares(const std::vector<Equation>& all,
                                  const std::vector<std::size_t>& unknowns, std::size_t count) {
  const std::size_t n = unknowns.size();
  std::vector<std::vector<double>> a(n, std::vector<double>(n, 0.0));
  std::vector<double> b(n, 0.0);
  for (const Equation& e : all) {
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < n; ++j) {
        a[i][j] += e.factors[unknowns[i]] * e.factors[unknowns[j]];
      }
      b[i] += e.factors[unknowns[i]] * (e.temperature - e.offset);
    }
  }
  if (!solve(std::move(a), b)) return {};
  std::vector<double> x(count, 0.0);
  for (std::size_t i = 0; i < n; ++i) x[unknowns[i]] = b[i];
  return x;
}

double rms_of(const std::vector<Equation>& all, const std::vector<double>& x) {
  double squares = 0.0;
  for (const Equation& e : all) {
    double error = e.offset - e.temperature;
    for (std::size_t i = 0; i < x.size(); ++i) error += e.factors[i] * x[i];
    squares += error * error;
  }
  return std::sqrt(squares / static_cast<double>(all.size()));
}

}  // namespace

std::optional<PoleFit> fit_poles(const std::vector<HeatTrace>& traces, Watts idle,
                                 const std::vector<Seconds>& time_constants) {
  THERMOE_EXPECT(!time_constants.empty(), "a thermal fit needs at least one time constant");
  const std::vector<Equation> all = equations(traces, idle, time_constants);
  THERMOE_EXPECT(!all.empty(), "a thermal fit needs samples");
  const std::size_t count = 1 + time_constants.size();
  std::vector<std::size_t> unknowns;
  for (std::size_t i = 0; i < count; ++i) unknowns.push_back(i);
  std::vector<double> x = least_squares(all, unknowns, count);
  // A pole that would cool with power is none: without it, until all are sound.
  while (!x.empty()) {
    const auto least = std::ranges::min_element(x.begin() + 1, x.end());
    if (*least >= 0.0) break;
    const auto worst = least - x.begin();
    std::erase(unknowns, static_cast<std::size_t>(worst));
    x = least_squares(all, unknowns, count);
  }
  if (x.empty()) return std::nullopt;
  PoleFit fit{.parameters = {.ambient = Celsius(x[0])}, .rms = rms_of(all, x)};
  for (std::size_t k = 0; k < time_constants.size(); ++k) {
    fit.parameters.poles.push_back({KelvinPerWatt(x[k + 1]), time_constants[k]});
  }
  return fit;
}

}  // namespace thermoe
