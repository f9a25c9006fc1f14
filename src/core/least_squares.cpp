// SPDX-License-Identifier: Apache-2.0
#include "core/least_squares.h"

#include "core/errors.h"

namespace thermoe {
namespace {

/// Solves the normal equations a x = b by elimination, which needs no pivoting in them; false where
/// an unknown cannot be told from those before it.
bool solve(std::vector<std::vector<double>> a, std::vector<double>& b, double least_share) {
  const std::size_t n = b.size();
  std::vector<double> least(n);
  for (std::size_t i = 0; i < n; ++i) least[i] = least_share * a[i][i];
  for (std::size_t i = 0; i < n; ++i) {
    if (!(a[i][i] > least[i])) return false;
    for (std::size_t row = 0; row < n; ++row) {
      if (row == i) continue;
      const double factor = a[row][i] / a[i][i];
      for (std::size_t col = i; col < n; ++col) a[row][col] -= factor * a[i][col];
      b[row] -= factor * b[i];
    }
  }
  for (std::size_t i = 0; i < n; ++i) b[i] /= a[i][i];
  return true;
}

}  // namespace

std::optional<std::vector<double>> least_squares(std::span<const LinearEquation> equations,
                                                 std::span<const std::size_t> unknowns,
                                                 double least_share) {
  THERMOE_EXPECT(!equations.empty(), "least squares of {} equations", equations.size());
  const std::size_t n = unknowns.size();
  std::vector<std::vector<double>> a(n, std::vector<double>(n, 0.0));
  std::vector<double> b(n, 0.0);
  for (const LinearEquation& e : equations) {
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < n; ++j) {
        a[i][j] += e.factors[unknowns[i]] * e.factors[unknowns[j]];
      }
      b[i] += e.factors[unknowns[i]] * e.value;
    }
  }
  if (!solve(std::move(a), b, least_share)) return std::nullopt;
  std::vector<double> x(equations.front().factors.size(), 0.0);
  for (std::size_t i = 0; i < n; ++i) x[unknowns[i]] = b[i];
  return x;
}

}  // namespace thermoe
