// SPDX-License-Identifier: Apache-2.0
#include "synthetic_router.h"

#include <algorithm>
#include <array>
#include <numeric>

namespace thermoe {
namespace {

constexpr int kSteps = 32;

}  // namespace

RoutingStats SyntheticRouter::draw(int rows, int allowed, std::mt19937_64& random) const {
  std::normal_distribution<float> normal;
  RoutingStats stats{.layers = kLayers, .experts = kExperts, .tokens = rows};
  stats.counts.assign(static_cast<std::size_t>(kLayers) * kExperts, 0);
  std::array<float, kExperts> popularity{}, logits{};
  std::array<int, kExperts> order{};
  for (int l = 0; l < kLayers; ++l) {
    for (float& p : popularity) p = static_cast<float>(skew_) * normal(random);
    for (int t = 0; t < rows; ++t) {
      for (std::size_t e = 0; e < logits.size(); ++e) logits[e] = popularity[e] + normal(random);
      std::iota(order.begin(), order.end(), 0);
      std::nth_element(
          order.begin(), order.begin() + kTopK - 1, order.begin() + allowed, [&](int a, int b) {
            return logits[static_cast<std::size_t>(a)] > logits[static_cast<std::size_t>(b)];
          });
      for (std::size_t k = 0; k < kTopK; ++k) {
        ++stats.counts[static_cast<std::size_t>(l * kExperts + order[k])];
      }
    }
  }
  return stats;
}

const RoutingStats& SyntheticRouter::next(int rows, int allowed) {
  Drawn& drawn = drawn_[{rows, allowed}];
  if (drawn.steps.empty()) {
    std::mt19937_64 random(static_cast<std::uint64_t>(rows * 1000 + allowed));
    for (int i = 0; i < kSteps; ++i) drawn.steps.push_back(draw(rows, allowed, random));
  }
  return drawn.steps[drawn.next++ % drawn.steps.size()];
}

double SyntheticRouter::mean_active(int rows, int allowed, int draws) {
  double sum = 0.0;
  for (int i = 0; i < draws; ++i) sum += next(rows, allowed).mean_active();
  return sum / draws;
}

}  // namespace thermoe
