// SPDX-License-Identifier: Apache-2.0
#include "profile/op_ranges.h"

#include <gtest/gtest.h>

#include <random>

namespace thermoe {
namespace {

/// By the definition: of the ranges of a thread that hold the call, the one that began last, of
/// those that which ends first.
std::optional<OpRange> owner_by_search(const OpRanges& ranges, std::uint32_t thread,
                                       std::int64_t start, std::int64_t end) {
  std::optional<OpRange> best;
  for (const OpRange& range : ranges.all()) {
    if (range.thread != thread || range.start_ns > start || range.end_ns < end) continue;
    const bool better = !best || range.start_ns > best->start_ns ||
                        (range.start_ns == best->start_ns && range.end_ns < best->end_ns);
    if (better) best = range;
  }
  return best;
}

TEST(OpRanges, TheInnermostRangeOwnsACall) {
  OpRanges ranges;
  ranges.add(7, 0, 100, 0);
  ranges.add(7, 10, 50, 1);
  ranges.add(7, 20, 30, 2);
  ranges.finish();
  const auto name = [&](std::int64_t start, std::int64_t end) {
    return ranges.all()[*ranges.owner(7, start, end)].name;
  };
  EXPECT_EQ(name(22, 28), 2U);
  EXPECT_EQ(name(32, 40), 1U);
  EXPECT_EQ(name(60, 70), 0U);
}

TEST(OpRanges, ACallThatGoesOnAfterItsRangeBelongsToTheOneAroundBoth) {
  OpRanges ranges;
  ranges.add(7, 0, 100, 0);
  ranges.add(7, 20, 30, 2);
  ranges.finish();
  EXPECT_EQ(ranges.all()[*ranges.owner(7, 25, 35)].name, 0U);
}

TEST(OpRanges, OtherThreadsAndTimesHaveNoOwner) {
  OpRanges ranges;
  ranges.add(7, 10, 20, 0);
  ranges.finish();
  EXPECT_FALSE(ranges.owner(8, 12, 15));
  EXPECT_FALSE(ranges.owner(7, 5, 15));
  EXPECT_FALSE(ranges.owner(7, 15, 25));
  EXPECT_FALSE(OpRanges().owner(7, 1, 2));
}

TEST(OpRanges, FindWhatTheDefinitionFindsHoweverRangesOverlap) {
  std::mt19937_64 random(12);
  for (const int width : {3, 400, 4000}) {
    OpRanges ranges;
    for (int i = 0; i < 3000; ++i) {
      const auto start = static_cast<std::int64_t>(random() % 4000);
      ranges.add(random() % 3, start, start + static_cast<std::int64_t>(random() % width), 0);
    }
    ranges.finish();
    for (int i = 0; i < 2000; ++i) {
      const std::uint64_t thread = ranges.all()[random() % ranges.all().size()].thread;
      const auto start = static_cast<std::int64_t>(random() % 4000);
      const auto end = start + static_cast<std::int64_t>(random() % 50);
      // Threads are numbered as they came; a range of that number tells which one it is.
      std::optional<std::uint32_t> found;
      std::optional<OpRange> wanted;
      for (std::uint64_t raw = 0; raw < 3; ++raw) {
        const auto owner = ranges.owner(raw, start, end);
        if (owner && ranges.all()[*owner].thread == thread) found = owner;
      }
      wanted = owner_by_search(ranges, static_cast<std::uint32_t>(thread), start, end);
      ASSERT_EQ(found.has_value(), wanted.has_value());
      if (!found) continue;
      EXPECT_EQ(ranges.all()[*found].start_ns, wanted->start_ns);
      EXPECT_EQ(ranges.all()[*found].end_ns, wanted->end_ns);
    }
  }
}

}  // namespace
}  // namespace thermoe
