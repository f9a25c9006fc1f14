// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "control/pricing.h"

namespace thermoe {

/// How many experts of each precision have how many tokens: all that a cost depends on.
class LoadHistogram {
 public:
  LoadHistogram(std::size_t variants, int tokens)
      : loads_(static_cast<std::size_t>(tokens) + 1), count_(variants * loads_, 0) {}

  void move(std::size_t variant, int from, int to) {
    --count_[variant * loads_ + static_cast<std::size_t>(from)];
    ++count_[variant * loads_ + static_cast<std::size_t>(to)];
  }
  /// [loads] of a variant; element 0 has no meaning.
  std::span<const int> of(std::size_t variant) const {
    return std::span(count_).subspan(variant * loads_, loads_);
  }
  std::size_t variants() const { return count_.size() / loads_; }

 private:
  std::size_t loads_;
  std::vector<int> count_;
};

/// A priced sample at some lambda that moves: what changes between two lambdas is a few experts and
/// the tokens that had picked them, far less than the whole rule. Starts at lambda = 0.
class PriceWalk {
 public:
  /// `variant` [layers, experts] or empty (all 0).
  PriceWalk(std::shared_ptr<const PricedSample> sample, std::span<const std::uint8_t> variant);

  void move_to(double lambda);

  const PricedSample& sample() const { return *sample_; }
  const LoadHistogram& histogram() const { return histogram_; }
  /// Of the rule at this lambda.
  KeptMass kept();
  /// At lambda = 0.
  const LoadHistogram& plain_histogram() const { return plain_histogram_; }
  const KeptMass& plain_kept() const { return plain_kept_; }

 private:
  using Rank = std::uint16_t;
  void drop(std::size_t cell);
  void restore(std::size_t cell);
  void add_load(std::size_t cell, int change);
  std::span<const std::uint16_t> order(std::size_t row, std::size_t last);
  double kept_of(std::size_t row);

  std::shared_ptr<const PricedSample> sample_;
  std::span<const std::uint8_t> variant_;
  std::size_t experts_, reach_, tokens_;
  std::size_t dropped_ = 0;             ///< of sample_->cells()
  std::vector<std::uint8_t> active_{};  ///< [layers, experts]
  std::vector<int> loads_{};            ///< likewise
  std::vector<Rank>
      rank_{};  ///< [layers, experts, tokens] place of the expert in the token's order
  std::vector<Rank> last_{};     ///< [rows] rank of the token's last pick; kShort: it lacks some
  std::vector<Rank> missing_{};  ///< [rows] how many it lacks
  std::vector<std::uint8_t> sorted_{};  ///< [rows] its ranks are known beyond the best
  std::vector<double> kept_{};          ///< [rows]
  std::vector<std::uint8_t> moved_{};   ///< [rows] since kept_ was taken
  LoadHistogram histogram_, plain_histogram_;
  KeptMass plain_kept_{};
};

}  // namespace thermoe
