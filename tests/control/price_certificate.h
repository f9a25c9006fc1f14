// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "control/shadow_prices.h"

namespace thermoe::testing {

/// Both sides of docs/theory.md eq. (19) at given prices, read literally in double: a proof of how
/// far they are from the optimum that trusts nothing of the solver.
struct Certificate {
  double primal = 0.0, dual = 0.0;
  std::vector<double> load{}, use{};
};

inline double sigma(double z) {
  return z >= 0.0 ? 1.0 / (1.0 + std::exp(-z)) : std::exp(z) / (1.0 + std::exp(z));
}

/// x of one row, by bisection.
inline std::vector<double> fermi(const std::vector<double>& value, int k, double tau) {
  double low = -1e3, high = 1e3;
  std::vector<double> x(value.size());
  for (int i = 0; i < 200; ++i) {
    const double mu = 0.5 * (low + high);
    double sum = 0.0;
    for (std::size_t e = 0; e < x.size(); ++e) sum += x[e] = sigma((value[e] - mu) / tau);
    (sum > k ? low : high) = mu;
  }
  return x;
}

inline double entropy(double x) {
  return (x > 0.0 ? x * std::log(x) : 0.0) + (x < 1.0 ? (1.0 - x) * std::log1p(-x) : 0.0);
}

inline std::vector<double> use_of(const PriceProblem& p, const std::vector<double>& load) {
  std::vector<double> use;
  const auto experts = static_cast<std::size_t>(p.experts);
  for (const CappedResource& r : p.resources) {
    double sum = r.constant;
    for (std::size_t l = 0; l < static_cast<std::size_t>(p.layers); ++l) {
      std::vector<double> device(256, 0.0);
      for (std::size_t e = 0; e < experts; ++e) {
        const std::size_t cell = l * experts + e;
        device[r.device_of.empty() ? 0 : r.device_of[e]] +=
            r.curves[r.curve_of.empty() ? 0 : r.curve_of[cell]].at(load[cell]);
      }
      sum += *std::max_element(device.begin(), device.end());
    }
    use.push_back(sum);
  }
  return use;
}

/// For one resource without devices, or several: F*(b) is bounded with the multipliers given:
/// theta [resources, layers, devices].
inline Certificate certify(const PriceProblem& p, const ShadowPrices& s,
                           const std::vector<std::vector<std::vector<double>>>& theta) {
  Certificate c;
  const auto experts = static_cast<std::size_t>(p.experts);
  c.load.assign(s.price.size(), 0.0);
  double inner = 0.0, paid = 0.0;
  for (std::size_t row = 0; row < static_cast<std::size_t>(p.layers) * p.tokens; ++row) {
    const std::size_t cell = row / p.tokens * experts;
    std::vector<double> value(experts);
    for (std::size_t e = 0; e < experts; ++e)
      value[e] = p.scores[row * experts + e] - s.price[cell + e];
    const std::vector<double> x = fermi(value, p.k, p.tau);
    for (std::size_t e = 0; e < experts; ++e) {
      c.load[cell + e] += x[e];
      if (x[e] > 0.0) inner += -x[e] * p.scores[row * experts + e] + p.tau * entropy(x[e]);
      paid += x[e] * s.price[cell + e];
    }
  }
  c.use = use_of(p, c.load);
  c.primal = inner;
  // x is the least of the Lagrangian at these prices, so its value there is A(b).
  c.dual = inner + paid;
  for (std::size_t r = 0; r < p.resources.size(); ++r) {
    c.primal += s.resource_price[r] * std::max(0.0, c.use[r] - p.resources[r].cap);
    c.dual += s.resource_price[r] * (p.resources[r].constant - p.resources[r].cap);
  }
  // -F*: each cell's least of sum theta c(n) - b n over 0 <= n <= T, which lies at a corner or end.
  for (std::size_t cell = 0; cell < s.price.size(); ++cell) {
    std::vector<double> candidates = {0.0, static_cast<double>(p.tokens)};
    for (const CappedResource& r : p.resources) {
      for (const double x : r.curves[r.curve_of.empty() ? 0 : r.curve_of[cell]].corner) {
        if (x < p.tokens) candidates.push_back(x);
      }
    }
    double least = std::numeric_limits<double>::infinity();
    for (const double n : candidates) {
      double v = -s.price[cell] * n;
      for (std::size_t r = 0; r < p.resources.size(); ++r) {
        const CappedResource& q = p.resources[r];
        const std::size_t d = q.device_of.empty() ? 0 : q.device_of[cell % experts];
        v +=
            theta[r][cell / experts][d] * q.curves[q.curve_of.empty() ? 0 : q.curve_of[cell]].at(n);
      }
      least = std::min(least, v);
    }
    c.dual += least;
  }
  return c;
}

/// theta of resources whose layers have one device each.
inline std::vector<std::vector<std::vector<double>>> single_device(const PriceProblem& p,
                                                                   const ShadowPrices& s) {
  std::vector<std::vector<std::vector<double>>> theta;
  for (const double lambda : s.resource_price) {
    theta.push_back(std::vector<std::vector<double>>(static_cast<std::size_t>(p.layers), {lambda}));
  }
  return theta;
}

}  // namespace thermoe::testing
