// SPDX-License-Identifier: Apache-2.0
#include "core/spread_extra.h"

#include <algorithm>
#include <cmath>

namespace thermoe {

void spread_extra(int whole, float extra, int layer, std::uint64_t step, std::span<int> by_token) {
  const auto tokens = static_cast<std::uint64_t>(by_token.size());
  const double share = std::clamp(static_cast<double>(extra), 0.0, 1.0);
  for (std::uint64_t t = 0; t < tokens; ++t) {
    // The token's turn in this step: turns rotate, or a share of one half would always favour the
    // same streams.
    const std::uint64_t turn = (t + step + static_cast<std::uint64_t>(layer)) % tokens;
    const auto i = static_cast<double>(step * tokens + turn);
    const bool more = std::floor((i + 1.0) * share) > std::floor(i * share);
    by_token[t] = whole + (more ? 1 : 0);
  }
}

}  // namespace thermoe
