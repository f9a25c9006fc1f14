// SPDX-License-Identifier: Apache-2.0
#include "profile/ops/host_works.h"

#include <gmock/gmock.h>

#include "core/clock.h"
#include "profile/ops/profile_points.h"
#include "profile/record/op_timer.h"

namespace thermoe {
namespace {

ProfiledModel small() {
  return {.experts = {.name = "small", .experts = 8, .top_k = 2, .d_model = 64, .d_ff = 32},
          .heads = 2,
          .head_dim = 16};
}

TEST(HostWorks, EveryOpOfAnExpertRunsOnTheCpu) {
  const SteadyClock clock;
  HostWorks works(1, 1e5);
  HostTimer timer(clock);
  int ran = 0;
  for (const ProfilePoint& point : profile_points(small(), {.tokens = {1, 5},
                                                           .active = {1, 3},
                                                           .dtypes = {"f32", "bf16", "int4"},
                                                           .context = 20})) {
    if (op_problem(Backend::kCpu, point.point)) continue;
    const OpTiming timing =
        timer.time(works.make(point.point), to_string(point.point), {.warm_up = 1, .timed = 3});
    ASSERT_EQ(timing.spans_ns.size(), 3U) << to_string(point.point);
    for (const std::int64_t ns : timing.spans_ns) EXPECT_GE(ns, 0);
    EXPECT_EQ(timing.source, CostSource::kTimed);
    ++ran;
  }
  EXPECT_GT(ran, 30);
}

TEST(HostWorks, ATimerTakesNoWarmUpForAnExecution) {
  VirtualClock clock;
  HostTimer timer(clock);
  int calls = 0;
  const OpWork work{[&](int call, Stream) {
    EXPECT_EQ(call, calls++);
    clock.advance_to(clock.now() + Seconds(call < 2 ? 1.0 : 0.5));
  }};
  EXPECT_THAT(timer.time(work, "x", {.warm_up = 2, .timed = 3}).spans_ns,
              ::testing::Each(500'000'000));
}

TEST(RotatingCopies, TogetherExceedTheCacheAsFarAsMemoryAllows) {
  const auto point = read_op_point("linear [1024, 1024] f32 tokens 1");
  constexpr double kWeights = 4.0 * 1024 * 1024, kCache = 32e6;
  const int copies = rotating_copies(*point, kCache, 1e12);
  EXPECT_GT(copies * kWeights, 4.0 * kCache);
  EXPECT_EQ(rotating_copies(*point, kCache, 3.5 * kWeights), 3);
  EXPECT_EQ(rotating_copies(*point, kCache, 1.0), 1);
  EXPECT_EQ(rotating_copies(*read_op_point("topk_route [8, 2] f32 tokens 1"), kCache, 1e12), 1);
}

TEST(LastWeights, AreKeptForTheSameTableAndMadeAnewForAnother) {
  LastWeights<int> weights;
  int made = 0;
  const auto make = [&](int) { return ++made; };
  const OpKey key{.op = "linear"}, other{.op = "other"};
  const auto first = weights.get(key, 3, make);
  EXPECT_EQ(weights.get(key, 2, make), first);
  EXPECT_EQ(made, 3);
  EXPECT_EQ(weights.get(key, 4, make)->size(), 4U);
  EXPECT_EQ(weights.get(other, 1, make)->size(), 1U);
  EXPECT_EQ(made, 8);
}

}  // namespace
}  // namespace thermoe
