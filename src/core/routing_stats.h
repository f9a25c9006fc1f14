// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace thermoe {

/// Less counts as this much: a token that keeps nothing would make every mean infinite.
inline constexpr double kLeastKeptMass = 1e-3;
/// Q = -ln of the share that a token keeps of its own top-k mass: at least 0, at most 6.9 nats.
double quality_loss_of(double kept_mass);

/// Means over many tokens and layers of what each keeps of its own top-k mass.
class KeptMass {
 public:
  void add(double kept) {
    ++tokens_;
    sum_ += kept;
    product_ *= std::clamp(kept, kLeastKeptMass, 1.0);
    if (product_ < 1e-200) fold();
  }
  double mean() const { return tokens_ > 0 ? sum_ / static_cast<double>(tokens_) : 1.0; }
  /// Mean of `quality_loss_of` each, not that of the mean.
  double quality_loss() const;

 private:
  void fold();

  std::size_t tokens_ = 0;
  double sum_ = 0.0;
  double product_ = 1.0;  ///< of the latest: a logarithm each would cost more than the routing
  double nats_ = 0.0;     ///< of those before
};

/// What the router did in one decode step: tokens an expert received, by layer.
struct RoutingStats {
  std::uint64_t step = 0;  ///< of its decoder, from 0: rotated the tokens of a plan's two shares
  int layers = 0;
  int experts = 0;
  int tokens = 0;
  std::vector<std::int32_t> counts{};  ///< [layers, experts]
  /// Mean over tokens and layers of the share of the token's own top-k probability mass that its
  /// chosen experts hold; 1 for the baseline.
  double kept_mass = 1.0;
  /// Mean over tokens and layers of `quality_loss_of` that share, nats; 0 for the baseline. Absent:
  /// not counted.
  std::optional<double> quality_loss{};

  std::span<const std::int32_t> layer(int l) const {
    return std::span(counts).subspan(static_cast<std::size_t>(l) * experts, experts);
  }
  /// Where it was not counted, that of the mean, which is no more.
  double known_quality_loss() const { return quality_loss.value_or(quality_loss_of(kept_mass)); }
  /// Distinct experts that received a token in layer l: D.
  int active(int l) const;
  /// Mean of `active` over layers.
  double mean_active() const;
};

}  // namespace thermoe
