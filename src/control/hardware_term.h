// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "control/shadow_prices.h"

namespace thermoe {

/// F of docs/theory.md eq. (26) and its conjugate: all of the problem that is not tokens.
class HardwareTerm {
 public:
  explicit HardwareTerm(const PriceProblem& problem);

  /// No price at all.
  HardwarePrices free() const;
  /// Whether prices are of this problem's shape.
  bool fits(const HardwarePrices& prices) const;
  /// Within the ceilings, b put where F* is finite: another problem's prices as a start.
  void admit(HardwarePrices& prices) const;

  /// A bound of F*(b) from above, tight where a `proximal_step` ended.
  double conjugate(const HardwarePrices& prices) const;
  /// C_r(n).
  std::vector<double> use(std::span<const double> load) const;
  /// sum_r w_r max(0, C_r - cap_r).
  double excess(std::span<const double> use) const;
  /// [cells] b without what is common to a layer: an element of sum_r theta dc_re.
  std::vector<double> shadow(const HardwarePrices& prices) const;

  struct Resource {
    double cap = 0.0, constant = 0.0, ceiling = 0.0;
    std::vector<std::uint8_t> device_of{};  ///< [experts]
    std::size_t first = 0, slots = 1;       ///< of its devices among a layer's slots
  };
  /// A cell's curves of all resources, with their corners merged.
  struct Curves {
    std::vector<double> corner{};
    std::vector<double> slope{}, value{};  ///< [corners, resources]
  };

  std::size_t layers() const { return static_cast<std::size_t>(layers_); }
  std::size_t experts() const { return static_cast<std::size_t>(experts_); }
  std::size_t cells() const { return layers() * experts(); }
  double picks() const { return picks_; }       ///< k T
  std::size_t slots() const { return slots_; }  ///< devices of all resources
  const std::vector<Resource>& resources() const { return resources_; }
  const Curves& curves(std::size_t cell) const { return kinds_[kind_[cell]]; }
  std::size_t slot(std::size_t r, std::size_t e) const {
    return resources_[r].first + resources_[r].device_of[e];
  }
  /// The slope of segment j of a cell under these prices.
  double slope(const HardwarePrices& p, std::size_t cell, std::size_t j) const;

 private:
  void merge_curves(const PriceProblem& problem);

  int layers_, experts_;
  double picks_;
  std::vector<Resource> resources_{};
  std::size_t slots_ = 0;
  std::vector<Curves> kinds_{};
  std::vector<std::size_t> kind_{};  ///< [cells]
};

}  // namespace thermoe
