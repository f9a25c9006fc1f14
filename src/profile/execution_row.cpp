// SPDX-License-Identifier: Apache-2.0
#include "profile/execution_row.h"

#include <algorithm>
#include <vector>

#include "core/quantile.h"

namespace thermoe {

CostRow row_of(const OpPoint& point, std::span<const std::int64_t> spans_ns) {
  std::vector<double> latencies;
  for (const std::int64_t ns : spans_ns) {
    latencies.push_back(1e-9 * static_cast<double>(ns));
  }
  std::ranges::sort(latencies);
  const double median = quantile(latencies, 0.5);
  CostRow row{.tokens = point.tokens,
              .active_experts = point.active_experts,
              .latency = Seconds(median),
              .samples = static_cast<int>(latencies.size())};
  if (latencies.size() > 1 && median > 0.0) {
    row.spread = relative_spread(latencies);
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
