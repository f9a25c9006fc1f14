// SPDX-License-Identifier: Apache-2.0
#include "machine/simulated/step_charge.h"

#include <numeric>

#include "core/errors.h"

namespace thermoe {
namespace {

/// Distinct experts with work in layer l, by variant.
std::vector<double> active_by_variant(const RoutingStats& stats, const RoutingPlan& plan, int l,
                                      std::size_t variants) {
  std::vector<double> active(variants, 0.0);
  const auto counts = stats.layer(l);
  const auto variant = plan.variant(l);
  for (std::size_t e = 0; e < counts.size(); ++e) {
    if (counts[e] == 0) continue;
    const std::size_t v = variants > 1 ? variant[e] : 0;
    THERMOE_EXPECT(v < variants, "expert {} has variant {} of {}", e, v, variants);
    active[v] += 1.0;
  }
  return active;
}

}  // namespace

Lookup step_charge(const PlantCharge& charge, const RoutingStats& stats, const RoutingPlan& plan) {
  Lookup total = charge.other;
  for (int l = 0; l < stats.layers; ++l) {
    const std::vector<double> active = active_by_variant(stats, plan, l, charge.dtypes.size());
    const double all = std::accumulate(active.begin(), active.end(), 0.0);
    for (std::size_t v = 0; v < active.size(); ++v) {
      if (active[v] == 0.0) continue;
      const Lookup found = charge.costs.layer(charge.shape, charge.dtypes[v], stats.tokens, all);
      total.cost += (active[v] / all * charge.layer_repeat) * found.cost;
      total.basis = weaker(total.basis, found.basis);
    }
  }
  return total;
}

}  // namespace thermoe
