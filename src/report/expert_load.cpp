// SPDX-License-Identifier: Apache-2.0
#include "report/expert_load.h"

#include <algorithm>
#include <cmath>

#include "core/errors.h"

namespace thermoe {

ExpertLoad expert_load(std::span<const std::int64_t> counts) {
  double sum = 0.0;
  double squares = 0.0;
  double largest = 0.0;
  for (const std::int64_t count : counts) {
    const auto n = static_cast<double>(count);
    sum += n;
    squares += n * n;
    largest = std::max(largest, n);
  }
  if (!(sum > 0)) return {};
  const double mean = sum / static_cast<double>(counts.size());
  const double variance = std::max(0.0, squares / static_cast<double>(counts.size()) - mean * mean);
  return {.coefficient_of_variation = std::sqrt(variance) / mean, .max_share = largest / sum};
}

ExpertUsage::ExpertUsage(int layers, int experts)
    : layers_(layers),
      experts_(experts),
      counts_(static_cast<std::size_t>(layers) * static_cast<std::size_t>(experts)) {}

void ExpertUsage::add(const RoutingStats& stats) {
  THERMOE_EXPECT(stats.counts.size() == counts_.size(), "{} counts for {} layers of {} experts",
                 stats.counts.size(), layers_, experts_);
  for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += stats.counts[i];
}

void ExpertUsage::clear() { std::fill(counts_.begin(), counts_.end(), 0); }

std::span<const std::int64_t> ExpertUsage::layer(int l) const {
  return std::span(counts_).subspan(
      static_cast<std::size_t>(l) * static_cast<std::size_t>(experts_),
      static_cast<std::size_t>(experts_));
}

ExpertLoad ExpertUsage::mean_load() const {
  ExpertLoad mean;
  for (int l = 0; l < layers_; ++l) {
    const ExpertLoad load = expert_load(layer(l));
    mean.coefficient_of_variation += load.coefficient_of_variation / layers_;
    mean.max_share += load.max_share / layers_;
  }
  return mean;
}

}  // namespace thermoe
