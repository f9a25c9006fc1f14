// SPDX-License-Identifier: Apache-2.0
#include "control/keep_and_fill.h"

#include <cmath>

#include "core/errors.h"

namespace thermoe {

RoutingStats keep_and_fill(const PricedSample& sample, double keep) {
  const Utilities& u = sample.utilities();
  THERMOE_EXPECT(keep >= 1.0 && keep <= sample.k(), "keep={} must be within 1..k={}", keep,
                 sample.k());
  const auto experts = static_cast<std::size_t>(u.experts());
  const auto tokens = static_cast<std::size_t>(u.tokens());
  const auto k = static_cast<std::size_t>(sample.k());
  const double whole = std::floor(keep);
  const double share = keep - whole;
  RoutingStats stats{
      .layers = u.layers(),
      .experts = u.experts(),
      .tokens = u.tokens(),
      .counts = std::vector<std::int32_t>(static_cast<std::size_t>(u.layers()) * experts, 0)};
  KeptMass kept_mass;
  std::vector<std::uint8_t> active(stats.counts.size(), 0);
  const std::size_t rows = static_cast<std::size_t>(u.layers()) * tokens;
  for (std::size_t row = 0; row < rows; ++row) {
    const auto best = sample.ranking().experts(row);
    const auto turn = static_cast<double>((row % tokens + row / tokens) % tokens);
    const bool more = std::floor((turn + 1.0) * share) > std::floor(turn * share);
    const std::size_t kept = static_cast<std::size_t>(whole) + (more ? 1 : 0);
    for (std::size_t i = 0; i < kept; ++i) active[row / tokens * experts + best[i]] = 1;
  }
  for (std::size_t row = 0; row < rows; ++row) {
    const std::size_t base = row / tokens * experts;
    std::span<const std::uint16_t> order = sample.ranking().experts(row);
    double own = 0.0;
    std::size_t taken = 0;
    for (std::size_t i = 0; taken < k && i < static_cast<std::size_t>(u.reach()); ++i) {
      if (i == order.size()) order = sample.full_order(row);
      if (active[base + order[i]] == 0) continue;
      ++stats.counts[base + order[i]];
      ++taken;
      own += sample.utility(row, i);
    }
    kept_mass.add(u.kept(row, own));
  }
  stats.kept_mass = kept_mass.mean();
  stats.quality_loss = kept_mass.quality_loss();
  return stats;
}

}  // namespace thermoe
