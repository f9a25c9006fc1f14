// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace thermoe {

/// Which points of a line to draw so that it looks the same at a plot's width: the line is cut into
/// `most` / 2 buckets of equal length, and each keeps its smallest and its largest value, in their
/// order. A peak of one row therefore survives any thinning, and values are never averaged. The
/// first and last point stay too. NaN (a gap) counts as no value; a bucket of nothing else keeps
/// one NaN, so that the gap shows. Ascending; all points where they are `most` or fewer; two points
/// for a line that never changes. Requires most >= 4.
std::vector<std::size_t> thin(std::span<const double> values, std::size_t most);

}  // namespace thermoe
