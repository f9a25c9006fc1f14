// SPDX-License-Identifier: Apache-2.0
#include "rotating_sets.h"

#include <algorithm>
#include <cmath>

#include "kernels/cuda/check.h"

namespace thermoe::bench {

int sets_to_rotate(double bytes_per_set, int most) {
  const int l2 = cuda::device_attribute(cudaDevAttrL2CacheSize);
  const double sets = std::floor(4.0 * l2 / std::max(bytes_per_set, 1.0)) + 1.0;
  return static_cast<int>(std::clamp(sets, 8.0, static_cast<double>(most)));
}

}  // namespace thermoe::bench
