// SPDX-License-Identifier: Apache-2.0
#include "control/keep_and_fill.h"

#include <cmath>

#include "core/errors.h"
#include "core/spread_extra.h"

namespace thermoe {

RoutingStats keep_and_fill(const PricedSample& sample, double keep) {
  const Utilities& u = sample.utilities();
  THERMOE_EXPECT(keep >= 1.0 && keep <= sample.k(), "keep={} must be within 1..k={}", keep,
                 sample.k());
  const auto experts = static_cast<std::size_t>(u.experts());
  const double whole = std::floor(keep);
  std::vector<int> kept(static_cast<std::size_t>(u.tokens()));
  std::vector<std::uint8_t> active(static_cast<std::size_t>(u.layers()) * experts, 0);
  std::size_t row = 0;
  for (int l = 0; l < u.layers(); ++l) {
    spread_extra(static_cast<int>(whole), static_cast<float>(keep - whole), l, 0, kept);
    for (const int own : kept) {
      const auto best = sample.ranking().experts(row++).first(static_cast<std::size_t>(own));
      for (const std::uint16_t e : best) active[static_cast<std::size_t>(l) * experts + e] = 1;
    }
  }
  return sample.loads_of(active);
}

}  // namespace thermoe
