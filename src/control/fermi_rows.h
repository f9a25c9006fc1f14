// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "control/fermi_sweep.h"

namespace thermoe {

/// What all tokens of a batch pick under prices, by docs/theory.md eq. (4).
struct FermiLoads {
  /// A(b), the least of -<v, x> + tau * entropy + <b, x> over x: the left part of eq. (19).
  double value = 0.0;
  std::vector<double> load{};       ///< [layers, experts] n(b), the gradient of A
  std::vector<double> curvature{};  ///< [layers, experts] sum of x(1 - x) / tau
};

/// Rows of selection scores and their thresholds. Each row is held relative to about its k-th best
/// score, so that those which decide have most digits; thresholds start where the last sweep left
/// them. Not for two threads at once.
class FermiRows {
 public:
  /// `scores` [layers, tokens, experts], -infinity out of a token's reach, no NaN; each row with
  /// more than k finite scores. tau > 0.
  FermiRows(std::span<const float> scores, int layers, int tokens, int experts, int k, double tau,
            cpu::Isa isa = cpu::best_isa());

  /// One sweep over all entries under prices [layers, experts]. The same bits for any number of
  /// threads: rows are summed by blocks of a fixed size, blocks in order.
  void sweep(std::span<const double> price, int threads, FermiLoads& out);

 private:
  int layers_, tokens_, experts_, k_;
  double tau_;
  cpu::Isa isa_;
  std::size_t padded_;
  std::vector<float> score_{};      ///< [rows, padded] (v - middle) / tau
  std::vector<double> middle_{};    ///< [rows]
  std::vector<float> threshold_{};  ///< [rows] (mu - middle) / tau
  std::vector<float> price_{};      ///< [layers, padded] b / tau
  std::vector<FermiBlock> blocks_{};
};

}  // namespace thermoe
