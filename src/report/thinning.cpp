// SPDX-License-Identifier: Apache-2.0
#include "report/thinning.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/errors.h"

namespace thermoe {
namespace {

void keep_extremes(std::span<const double> values, std::size_t from, std::size_t to,
                   std::vector<std::size_t>& kept) {
  std::size_t low = to;
  std::size_t high = to;
  for (std::size_t i = from; i < to; ++i) {
    if (std::isnan(values[i])) continue;
    if (low == to || values[i] < values[low]) low = i;
    if (high == to || values[i] > values[high]) high = i;
  }
  if (low == to) {
    kept.push_back(from);  // a gap
    return;
  }
  kept.push_back(std::min(low, high));
  if (low != high) kept.push_back(std::max(low, high));
}

}  // namespace

std::vector<std::size_t> thin(std::span<const double> values, std::size_t most) {
  THERMOE_EXPECT(most >= 4, "a line needs at least 4 points, not {}", most);
  const std::size_t count = values.size();
  const auto differs = [&](double value) { return !(value == values.front()); };
  if (count > 2 && std::none_of(values.begin(), values.end(), differs)) return {0, count - 1};
  std::vector<std::size_t> kept;
  if (count <= most) {
    kept.resize(count);
    std::iota(kept.begin(), kept.end(), std::size_t{0});
    return kept;
  }
  // Two points stay for the ends.
  const std::size_t buckets = most / 2 - 1;
  kept.reserve(most);
  kept.push_back(0);
  for (std::size_t b = 0; b < buckets; ++b) {
    keep_extremes(values, 1 + b * (count - 2) / buckets, 1 + (b + 1) * (count - 2) / buckets, kept);
  }
  kept.push_back(count - 1);
  return kept;
}

}  // namespace thermoe
