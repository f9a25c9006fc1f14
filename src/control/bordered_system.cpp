// SPDX-License-Identifier: Apache-2.0
#include "control/bordered_system.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace thermoe {
namespace {

/// Gauss-Jordan with partial pivoting on [rows, columns], rows <= columns: the right part becomes
/// the solutions. False where a pivot is 0.
bool eliminate(std::vector<double>& a, std::size_t rows, std::size_t columns) {
  for (std::size_t i = 0; i < rows; ++i) {
    std::size_t pivot = i;
    for (std::size_t r = i + 1; r < rows; ++r) {
      if (std::abs(a[r * columns + i]) > std::abs(a[pivot * columns + i])) pivot = r;
    }
    const double p = a[pivot * columns + i];
    if (!(std::abs(p) > 0.0) || !std::isfinite(p)) return false;
    if (pivot != i) {
      for (std::size_t c = 0; c < columns; ++c)
        std::swap(a[i * columns + c], a[pivot * columns + c]);
    }
    for (std::size_t c = i; c < columns; ++c) a[i * columns + c] /= p;
    for (std::size_t r = 0; r < rows; ++r) {
      const double f = a[r * columns + i];
      if (r == i || f == 0.0) continue;
      for (std::size_t c = i; c < columns; ++c) a[r * columns + c] -= f * a[i * columns + c];
    }
  }
  return true;
}

}  // namespace

std::optional<BorderedSystem::Solution> BorderedSystem::solve() const {
  const std::size_t n = right_.size();
  std::vector<Block> solved = blocks_;
  std::vector<double> schur(n * (n + 1), 0.0);
  for (std::size_t r = 0; r < n; ++r) schur[r * (n + 1) + n] = used_[r] ? right_[r] : 0.0;
  for (std::size_t b = 0; b < blocks_.size(); ++b) {
    Block& s = solved[b];
    Block given = blocks_[b];
    if (!eliminate(s.matrix_, s.size_, s.width())) return std::nullopt;
    for (std::size_t i = 0; i < s.size_; ++i) {
      for (std::size_t r = 0; r < n; ++r) {
        const double coupling = given.border(i, r);
        if (coupling == 0.0) continue;
        for (std::size_t q = 0; q < n; ++q) schur[r * (n + 1) + q] -= coupling * s.border(i, q);
        schur[r * (n + 1) + n] -= coupling * s.right(i);
      }
    }
  }
  for (std::size_t r = 0; r < n; ++r) {
    if (used_[r]) continue;
    for (std::size_t q = 0; q < n; ++q) schur[r * (n + 1) + q] = schur[q * (n + 1) + r] = 0.0;
    schur[r * (n + 1) + r] = 1.0;
    schur[r * (n + 1) + n] = 0.0;
  }
  if (!eliminate(schur, n, n + 1)) return std::nullopt;
  Solution solution;
  for (std::size_t r = 0; r < n; ++r) solution.border.push_back(schur[r * (n + 1) + n]);
  for (Block& s : solved) {
    std::vector<double> y(s.size_);
    for (std::size_t i = 0; i < s.size_; ++i) {
      y[i] = s.right(i);
      for (std::size_t r = 0; r < n; ++r) y[i] -= s.border(i, r) * solution.border[r];
    }
    solution.blocks.push_back(std::move(y));
  }
  return solution;
}

}  // namespace thermoe
