// SPDX-License-Identifier: Apache-2.0
#include "profile/op_ranges.h"

#include <algorithm>

namespace thermoe {
namespace {

constexpr std::size_t kBlock = 32;

/// A thread's ranges in the order of their starts, the innermost of equal starts last.
bool before(const OpRange& a, const OpRange& b) {
  if (a.thread != b.thread) return a.thread < b.thread;
  if (a.start_ns != b.start_ns) return a.start_ns < b.start_ns;
  return a.end_ns > b.end_ns;
}

}  // namespace

void OpRanges::add(std::uint64_t thread, std::int64_t start_ns, std::int64_t end_ns,
                   std::uint32_t name) {
  const auto next = static_cast<std::uint32_t>(threads_.size());
  const std::uint32_t place = threads_.try_emplace(thread, next).first->second;
  ranges_.push_back({.start_ns = start_ns, .end_ns = end_ns, .thread = place, .name = name});
}

void OpRanges::finish() {
  if (!std::ranges::is_sorted(ranges_, before)) std::ranges::sort(ranges_, before);
  of_thread_.assign(threads_.size(), {0, 0});
  for (std::size_t i = 0; i < ranges_.size(); ++i) {
    auto& [from, to] = of_thread_[ranges_[i].thread];
    if (to == 0) from = i;
    to = i + 1;
  }
  latest_end_.clear();
  const auto add_level = [&](std::size_t size, const auto& end_of) {
    std::vector<std::int64_t> level((size + kBlock - 1) / kBlock, INT64_MIN);
    for (std::size_t i = 0; i < size; ++i) {
      level[i / kBlock] = std::max(level[i / kBlock], end_of(i));
    }
    latest_end_.push_back(std::move(level));
  };
  add_level(ranges_.size(), [&](std::size_t i) { return ranges_[i].end_ns; });
  while (latest_end_.back().size() > kBlock) {
    const std::vector<std::int64_t> below = latest_end_.back();
    add_level(below.size(), [&](std::size_t i) { return below[i]; });
  }
}

std::optional<std::uint32_t> OpRanges::owner(std::uint64_t thread, std::int64_t start_ns,
                                             std::int64_t end_ns) const {
  const auto known = threads_.find(thread);
  if (known == threads_.end()) return std::nullopt;
  const auto [from, to] = of_thread_[known->second];
  const auto begin = ranges_.begin() + static_cast<std::ptrdiff_t>(from);
  const auto after = std::upper_bound(
      begin, ranges_.begin() + static_cast<std::ptrdiff_t>(to), start_ns,
      [](std::int64_t start, const OpRange& range) { return start < range.start_ns; });
  // The last range before `after` that ends late enough. Where a whole block ends too early it is
  // passed at once; `i` counts in blocks of `level`, `after` everything before it.
  auto i = static_cast<std::size_t>(after - ranges_.begin());
  std::size_t level = 0;  // 0: single ranges; n: entries of latest_end_[n - 1]
  std::size_t unit = 1;
  while (i > 0) {
    const std::size_t last = i - 1;
    if (level == 0 && last < from) return std::nullopt;
    const std::int64_t end = level == 0 ? ranges_[last].end_ns : latest_end_[level - 1][last];
    if (end >= end_ns) {
      if (level == 0) return static_cast<std::uint32_t>(last);
      --level;
      unit /= kBlock;
      i = (last + 1) * kBlock;
      const std::size_t size = level == 0 ? ranges_.size() : latest_end_[level - 1].size();
      i = std::min(i, size);
      continue;
    }
    i = last;
    if (i * unit <= from) return std::nullopt;
    if (i % kBlock == 0 && level < latest_end_.size()) {
      i /= kBlock;
      ++level;
      unit *= kBlock;
    }
  }
  return std::nullopt;
}

}  // namespace thermoe
