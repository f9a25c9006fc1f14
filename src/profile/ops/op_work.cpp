// SPDX-License-Identifier: Apache-2.0
#include "profile/ops/op_work.h"

#include <algorithm>
#include <cmath>

#include "profile/ops/op_traffic.h"

namespace thermoe {

int rotating_copies(const OpPoint& point, double cache_bytes, double most_bytes) {
  constexpr double kCaches = 4.0;
  constexpr double kMost = 1024.0;
  const OpTraffic traffic = traffic_of(point);
  if (traffic.weight_bytes == 0.0) return 1;
  const double wanted = std::ceil(kCaches * cache_bytes / traffic.bytes) + 1.0;
  const double fit = std::floor(most_bytes / traffic.weight_bytes);
  return static_cast<int>(std::max(1.0, std::min({wanted, fit, kMost})));
}

}  // namespace thermoe
