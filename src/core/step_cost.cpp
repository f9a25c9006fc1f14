// SPDX-License-Identifier: Apache-2.0
#include "core/step_cost.h"

#include <algorithm>

#include "core/errors.h"

namespace thermoe {

Cost StepCost::layer(std::span<const std::int32_t> counts,
                     std::span<const std::uint8_t> variant) const {
  THERMOE_EXPECT(variant.empty() || variant.size() == counts.size(),
                 "{} variants for {} experts: give one each, or none", variant.size(),
                 counts.size());
  Cost sum = layer_constant;
  for (std::size_t e = 0; e < counts.size(); ++e) {
    if (counts[e] <= 0) continue;
    const std::size_t v = variant.empty() ? 0 : std::size_t{variant[e]};
    THERMOE_EXPECT(v < variants.size(), "expert {} has variant {}, costs know {}", e, v,
                   variants.size());
    sum += variants[v].at(counts[e]);
  }
  return sum;
}

Cost StepCost::step(const RoutingStats& stats, std::span<const std::uint8_t> variant) const {
  Cost sum{};
  const auto experts = static_cast<std::size_t>(stats.experts);
  const std::size_t all = experts * static_cast<std::size_t>(stats.layers);
  THERMOE_EXPECT(variant.empty() || variant.size() == all,
                 "{} variants for {} layers of {} experts: give one each, or none", variant.size(),
                 stats.layers, stats.experts);
  for (int l = 0; l < stats.layers; ++l) {
    sum += layer(stats.layer(l),
                 variant.empty() ? variant
                                 : variant.subspan(experts * static_cast<std::size_t>(l), experts));
  }
  return layer_repeat * sum;
}

Watts mean_power(const Cost& step, Seconds period, Watts active_idle) {
  const Seconds busy = std::max(period, step.latency);
  return busy.value > 0.0 ? active_idle + step.energy / busy : active_idle;
}

}  // namespace thermoe
