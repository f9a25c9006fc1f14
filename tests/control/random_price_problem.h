// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "control/shadow_prices.h"

namespace thermoe::testing {

/// Scores and a problem over them.
struct Instance {
  std::vector<float> scores{};
  PriceProblem problem{};
  void attach() { problem.scores = scores; }
};

struct Shape {
  int layers = 1, tokens = 24, experts = 12, k = 3;
  double tau = 0.02;
};

/// Convex, with up to four segments, of costs near `level` a token.
inline ConvexCurve random_curve(std::mt19937& random, double level, int tokens) {
  std::uniform_real_distribution<double> part(0.2, 1.0);
  std::vector<CurvePoint> points = {{0.0, 0.0}};
  double x = 0.0, y = 0.0, slope = level * part(random);
  const int segments = 1 + static_cast<int>(random() % 4);
  for (int i = 0; i < segments; ++i) {
    const double width = part(random) * tokens / 4.0;
    x += width, y += slope * width;
    points.push_back({x, y});
    slope *= 1.0 + part(random);
  }
  return convex_curve(points);
}

inline std::vector<float> random_scores(std::mt19937& random, const Shape& s) {
  std::normal_distribution<float> normal;
  std::vector<float> popularity(static_cast<std::size_t>(s.layers) * s.experts);
  for (float& p : popularity) p = 0.1F * normal(random);
  std::vector<float> v;
  for (int row = 0; row < s.layers * s.tokens; ++row) {
    for (int e = 0; e < s.experts; ++e) {
      v.push_back(popularity[static_cast<std::size_t>(row / s.tokens) * s.experts + e] +
                  0.1F * normal(random));
    }
  }
  return v;
}

/// What C_r would be without caps.
inline std::vector<double> plain_use(PriceProblem p) {
  for (CappedResource& r : p.resources) r.cap = 1e30;
  WarmStart none;
  return solve_prices(p, {}, none).resource_use;
}

inline Instance random_instance(std::uint32_t seed, const Shape& s, int resources = 1,
                                double share = 0.85) {
  std::mt19937 random(seed);
  Instance i{
      .scores = random_scores(random, s),
      .problem = {
          .layers = s.layers, .tokens = s.tokens, .experts = s.experts, .k = s.k, .tau = s.tau}};
  for (int r = 0; r < resources; ++r) {
    CappedResource c{.constant = 3.0, .price_ceiling = 10.0};
    for (int v = 0; v < 5; ++v) c.curves.push_back(random_curve(random, 1.0 + v, s.tokens));
    for (int cell = 0; cell < s.layers * s.experts; ++cell)
      c.curve_of.push_back(static_cast<std::uint8_t>(random() % 5));
    i.problem.resources.push_back(std::move(c));
  }
  i.attach();
  const std::vector<double> plain = plain_use(i.problem);
  for (std::size_t r = 0; r < plain.size(); ++r)
    i.problem.resources[r].cap = 3.0 + share * (plain[r] - 3.0);
  return i;
}

inline ShadowPrices solve(const PriceProblem& p, double gap = 1e-7, int threads = 1) {
  WarmStart none;
  return solve_prices(p, {.gap = gap, .threads = threads}, none);
}

}  // namespace thermoe::testing
