// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "control/utilities.h"
#include "core/routing_stats.h"

namespace thermoe {

/// What the pricing rule needs beside the utilities and lambda.
struct PricingParameters {
  int k = 0;      ///< experts a token takes
  int k_min = 1;  ///< each token's k_min best experts are never priced out
  /// [layers, experts] selection bias b, subtracted from v; empty = 0.
  std::vector<float> bias{};
  /// [layers, experts] a_e times what the adapter makes of the layer's price: price of an
  /// expert at lambda = 1; empty = 1. > 0.
  std::vector<float> unit_price{};

  bool operator==(const PricingParameters&) const = default;
};

/// The activation pricing rule (docs/theory.md eq. (7)-(9)) on one sampled step. Everything that
/// does not depend on lambda is done once: the union U, the guaranteed set G and the losses. A
/// lambda then only thresholds. Not for two threads at once.
class PricedSample {
 public:
  PricedSample(std::shared_ptr<const Utilities> utilities, const PricingParameters& parameters);

  /// What the rule would route at this lambda: loads after the refill, kept mass. lambda >= 0.
  RoutingStats loads(double lambda) const;
  /// What is routed where only `active` experts [layers, experts] run: each token takes its k best
  /// of them, or all in its reach if they are fewer.
  RoutingStats loads_of(std::span<const std::uint8_t> active) const;

  /// loss_e / unit price of each expert in U but not in G, ascending, all layers together:
  /// the expert is dropped by any greater lambda.
  const std::vector<float>& thresholds() const { return sorted_; }
  /// The same experts as cells (layer * experts + expert) in that order.
  const std::vector<std::uint32_t>& cells() const { return cells_; }
  /// loss_e, [layers, experts]; 0 outside U.
  const std::vector<float>& losses() const { return loss_; }
  /// Expert is in U at all, [layers, experts].
  bool picked(std::size_t cell) const { return threshold_[cell] >= 0.0F; }
  /// Expert is in G (some token's k_min best), [layers, experts].
  const std::vector<std::uint8_t>& guaranteed() const { return guaranteed_; }
  const Utilities& utilities() const { return *utilities_; }
  /// Loss score of the token's best expert in U outside its own top-k (0 if none), [layers,
  /// tokens].
  const std::vector<float>& next_score() const { return next_; }

  int k() const { return k_; }
  /// The token's best experts by score, with their utilities: more than k.
  const Ranking& ranking() const { return bias_.empty() ? utilities_->ranking() : ranking_; }
  /// All experts in reach of a row (layer * tokens + token) by score: sorted when first asked for.
  std::span<const std::uint16_t> full_order(std::size_t row) const;
  /// u of one expert in the row.
  float utility(std::size_t row, std::size_t rank) const;

 private:
  void rank_by_score();
  void price_layer(int layer, const PricingParameters& parameters);
  float next_of(std::size_t row, std::size_t base) const;

  struct Order {
    std::vector<std::uint16_t> expert{};
    std::vector<float> utility{}, loss_score{};  ///< no loss scores: the utilities
  };
  const Order& sort_all(std::size_t row) const;

  std::shared_ptr<const Utilities> utilities_;
  int k_;
  std::vector<float> bias_{};
  Ranking ranking_{};  ///< by score, where there is a bias
  mutable std::unordered_map<std::size_t, Order> orders_{};
  std::vector<float> loss_{}, threshold_{}, next_{}, sorted_{};
  std::vector<std::uint32_t> cells_{};
  std::vector<std::uint8_t> guaranteed_{};
};

/// Loads of plain top-k routing for each k in 1..k of the utilities; element [j] is k = j + 1.
std::vector<RoutingStats> plain_loads(const Utilities& utilities);

}  // namespace thermoe
