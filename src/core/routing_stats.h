// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace thermoe {

/// What the router did in one decode step: tokens an expert received, by layer.
struct RoutingStats {
  int layers = 0;
  int experts = 0;
  int tokens = 0;
  std::vector<std::int32_t> counts{};  ///< [layers, experts]
  /// Mean over tokens and layers of the share of the token's own top-k probability mass that its
  /// chosen experts hold; 1 for the baseline. -log of it is the quality term Q.
  double kept_mass = 1.0;
  /// Mean over tokens and layers of each one's own -log(kept mass), nats. Absent: not counted.
  std::optional<double> quality_loss{};

  std::span<const std::int32_t> layer(int l) const {
    return std::span(counts).subspan(static_cast<std::size_t>(l) * experts, experts);
  }
  /// Distinct experts that received a token in layer l (design: D).
  int active(int l) const;
  /// Mean of `active` over layers.
  double mean_active() const;
};

}  // namespace thermoe
