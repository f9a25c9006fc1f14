// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

#include "core/cpu_isa.h"

namespace thermoe {

/// Numbers that a row is padded to a multiple of.
inline constexpr std::size_t kFermiLanes = 16;

/// What one block of a layer's rows adds to docs/theory.md eq. (19) and its gradient.
struct FermiBlock {
  double value = 0.0;                      ///< -sum of (mu k + tau sum of softplus(z)), z below
  std::vector<float> load{}, curvature{};  ///< [padded] sums of x and of x (1 - x)
};

/// A block of rows under prices, all in units of tau: x = sigma(z), z = score - price - threshold.
struct FermiSweep {
  const float* score;    ///< [rows, padded]; where none is to be picked, far below 0
  float* threshold;      ///< [rows] in: where to start; out: where k are picked
  const double* middle;  ///< [rows] mu = middle + tau * threshold
  const float* price;    ///< [padded]
  std::size_t padded;    ///< at most 1024
  int rows, k;
  double tau;
  FermiBlock* block;
};
/// Requires a machine that runs `isa`; each set has its own last bits.
void sweep_fermi_block(const FermiSweep& sweep, cpu::Isa isa);

/// Scores and how a sweep wants them.
struct FermiScores {
  const float* from;  ///< [rows, experts]
  float* to;          ///< [rows, padded]
  double* middle;     ///< [rows]
  float* threshold;   ///< [rows] a start
  std::size_t rows, experts, padded;
  int k;
  double tau;
};
/// Returns the first row with k finite scores or fewer, a NaN or +infinity; else `rows`. Requires a
/// machine that runs `isa`.
std::size_t prepare_fermi_scores(const FermiScores& scores, cpu::Isa isa);

}  // namespace thermoe
