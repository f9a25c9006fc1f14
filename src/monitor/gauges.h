// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/units.h"
#include "monitor/series.h"

namespace thermoe {

/// `width` columns, the first `share` of them filled: ██████░░░░ or [####----].
std::string bar(double share, int width, bool unicode);

/// Smallest and largest value of the last minute before `now`; empty without samples.
struct Extent {
  double low = 0.0;
  double high = 0.0;
};
std::optional<Extent> extent(const Series& series, Seconds now);

/// The last minute before `now` in `width` columns and `height` lines (first is top), newest on the
/// right: each column the largest value of its stretch of time, so that no peak is lost, on a scale
/// from the extent's low to its high (at least `least_span` apart, so that noise stays flat). A
/// stretch in which nothing was read is blank.
std::vector<std::string> sparklines(const Series& series, Seconds now, int width, int height,
                                    double least_span, bool unicode);

}  // namespace thermoe
