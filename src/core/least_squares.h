// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

namespace thermoe {

/// What a linear model should give: factors . x = value.
struct LinearEquation {
  std::vector<double> factors{};
  double value = 0.0;
};

/// Least squares of x over these unknowns, places in the factors, the others being 0. Nothing where
/// the equations do not tell an unknown from those before it, which explain all of it but a share
/// of `least_share`. Requires an equation.
std::optional<std::vector<double>> least_squares(std::span<const LinearEquation> equations,
                                                 std::span<const std::size_t> unknowns,
                                                 double least_share);

}  // namespace thermoe
