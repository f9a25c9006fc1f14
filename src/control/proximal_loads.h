// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "control/shadow_prices.h"

namespace thermoe {

/// F, its conjugate, and the proximal step of F*: all of the problem that is not tokens.
class ProximalLoads {
 public:
  explicit ProximalLoads(const PriceProblem& problem);

  /// No price at all.
  HardwarePrices free() const;
  /// Whether prices are of this problem's shape.
  bool fits(const HardwarePrices& prices) const;
  /// Within the ceilings, b put where F* is finite: another problem's prices as a start.
  void admit(HardwarePrices& prices) const;

  /// argmax over b of <n, b - old b> - sum M (b - old b)^2 / 2 - F*(b), with the caps lowered by
  /// `slack` [resources]; the multipliers of `old` are where it starts. n, M > 0: [cells].
  HardwarePrices step(const HardwarePrices& old, std::span<const double> load,
                      std::span<const double> metric, std::span<const double> slack) const;

  /// A bound of F*(b) from above, tight where a `step` ended.
  double conjugate(const HardwarePrices& prices) const;
  /// C_r(n).
  std::vector<double> use(std::span<const double> load) const;
  /// sum_r w_r max(0, C_r - cap_r).
  double excess(std::span<const double> use) const;
  /// [cells] b without what is common to a layer: an element of sum_r theta dc_re.
  std::vector<double> shadow(const HardwarePrices& prices) const;
  std::size_t resources() const { return resources_.size(); }
  double cap(std::size_t r) const { return resources_[r].cap; }
  double ceiling(std::size_t r) const { return resources_[r].ceiling; }

 private:
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
  struct Model;

  void merge_curves(const PriceProblem& problem);
  std::size_t cells() const { return static_cast<std::size_t>(layers_) * experts_; }
  std::size_t slot(std::size_t r, std::size_t e) const {
    return resources_[r].first + resources_[r].device_of[e];
  }
  /// The slope of segment j of a cell under these prices.
  double slope(const HardwarePrices& p, std::size_t cell, std::size_t j) const;
  double evaluate(const HardwarePrices& p, std::span<const double> centre,
                  std::span<const double> metric, std::span<const double> slack, Model& m) const;
  bool direction(const HardwarePrices& p, std::span<const double> slack, const Model& m,
                 HardwarePrices& d) const;
  std::vector<std::uint8_t> free_slots(const HardwarePrices& p, std::span<const double> slack,
                                       const Model& m) const;
  double room(const HardwarePrices& p, const HardwarePrices& d) const;

  int layers_, experts_;
  double picks_;  ///< k T
  std::vector<Resource> resources_{};
  std::size_t slots_ = 0;  ///< devices of all resources
  std::vector<Curves> kinds_{};
  std::vector<std::size_t> kind_{};  ///< [cells]
};

}  // namespace thermoe
