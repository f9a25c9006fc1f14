// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <map>
#include <random>
#include <utility>
#include <vector>

#include "core/routing_stats.h"

namespace thermoe {

/// Stands for the random gates of a model with dummy weights: a token's logit of an expert is that
/// expert's popularity in the layer, normal of deviation `skew`, and a standard normal of its own;
/// top 8 of the experts that may be chosen.
class SyntheticRouter {
 public:
  static constexpr int kExperts = 128;
  static constexpr int kTopK = 8;
  static constexpr int kLayers = 4;  ///< that it draws: each stands for 12

  explicit SyntheticRouter(double skew) : skew_(skew) {}

  /// Loads of a step of so many rows, one after another of a few that are drawn once.
  const RoutingStats& next(int rows, int allowed);
  /// Mean distinct experts of a layer.
  double mean_active(int rows, int allowed, int draws = 32);

 private:
  struct Drawn {
    std::vector<RoutingStats> steps{};
    std::size_t next = 0;
  };
  RoutingStats draw(int rows, int allowed, std::mt19937_64& random) const;

  double skew_;
  std::map<std::pair<int, int>, Drawn> drawn_{};
};

}  // namespace thermoe
