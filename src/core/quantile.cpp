// SPDX-License-Identifier: Apache-2.0
#include "core/quantile.h"

#include <algorithm>
#include <cstddef>

#include "core/errors.h"

namespace thermoe {

double quantile(std::span<const double> sorted, double share) {
  THERMOE_EXPECT(!sorted.empty() && share >= 0.0 && share <= 1.0, "quantile {} of {} values", share,
                 sorted.size());
  const double place = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

double relative_spread(std::span<const double> sorted) {
  return (quantile(sorted, 0.9) - quantile(sorted, 0.1)) / (2.0 * quantile(sorted, 0.5));
}

}  // namespace thermoe
