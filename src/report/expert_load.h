// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/routing_stats.h"

namespace thermoe {

/// How evenly the tokens of one layer spread over its experts.
struct ExpertLoad {
  double coefficient_of_variation = 0.0;  ///< standard deviation / mean of the counts; 0 is even
  double max_share = 0.0;                 ///< tokens of the busiest expert / all tokens
};

/// Zero for counts that are all zero.
ExpertLoad expert_load(std::span<const std::int64_t> counts);

/// Counts summed over steps, [layers, experts].
class ExpertUsage {
 public:
  ExpertUsage(int layers, int experts);
  /// Adds one step's counts. Requires the same shape.
  void add(const RoutingStats& stats);
  void clear();
  std::span<const std::int64_t> layer(int l) const;
  int layers() const { return layers_; }
  int experts() const { return experts_; }
  /// Mean over layers.
  ExpertLoad mean_load() const;

 private:
  int layers_;
  int experts_;
  std::vector<std::int64_t> counts_;
};

}  // namespace thermoe
