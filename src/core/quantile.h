// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

namespace thermoe {

/// The value that a share of them, 0 to 1, is not above; between the nearest two. Requires sorted
/// values, at least one.
double quantile(std::span<const double> sorted, double share);

/// Their relative half-width, (p90 - p10) / (2 * median): a spread as cost models state it.
/// Requires a median that is not 0.
double relative_spread(std::span<const double> sorted);

}  // namespace thermoe
