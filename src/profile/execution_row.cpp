// SPDX-License-Identifier: Apache-2.0
#include "profile/execution_row.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace thermoe {
namespace {

constexpr double kNanoseconds = 1e-9;

/// Between the nearest two of sorted values.
double quantile(const std::vector<double>& sorted, double share) {
  const double place = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - std::floor(place)) * (sorted[above] - sorted[below]);
}

}  // namespace

CostRow row_of(const OpPoint& point, std::span<const std::int64_t> spans_ns) {
  std::vector<double> latencies;
  for (const std::int64_t ns : spans_ns) {
    latencies.push_back(kNanoseconds * static_cast<double>(ns));
  }
  std::ranges::sort(latencies);
  const double median = quantile(latencies, 0.5);
  CostRow row{.tokens = point.tokens,
              .active_experts = point.active_experts,
              .latency = Seconds(median),
              .samples = static_cast<int>(latencies.size())};
  if (latencies.size() > 1 && median > 0.0) {
    row.spread = (quantile(latencies, 0.9) - quantile(latencies, 0.1)) / (2.0 * median);
  }
  return row;
}

bool same_point(const CostRow& a, const CostRow& b) {
  return a.tokens == b.tokens && a.active_experts == b.active_experts;
}

bool row_before(const CostRow& a, const CostRow& b) {
  return a.tokens != b.tokens ? a.tokens < b.tokens : a.active_experts < b.active_experts;
}

}  // namespace thermoe
