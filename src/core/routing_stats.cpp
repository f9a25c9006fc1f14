// SPDX-License-Identifier: Apache-2.0
#include "core/routing_stats.h"

#include <algorithm>

namespace thermoe {

int RoutingStats::active(int l) const {
  const auto row = layer(l);
  return static_cast<int>(std::count_if(row.begin(), row.end(), [](int n) { return n > 0; }));
}

double RoutingStats::mean_active() const {
  if (layers == 0) return 0.0;
  int total = 0;
  for (int l = 0; l < layers; ++l) total += active(l);
  return static_cast<double>(total) / layers;
}

}  // namespace thermoe
