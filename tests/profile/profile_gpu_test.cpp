// SPDX-License-Identifier: Apache-2.0
// The profiler on a CUDA device.
#include <gmock/gmock.h>

#include <algorithm>
#include <map>

#include "core/clock.h"
#include "kernels/device_description.h"
#include "kernels/device_stream.h"
#include "kernels/hold_stream.h"
#include "profile/execution_row.h"
#include "profile/ops/device_works.h"
#include "profile/ops/op_traffic.h"
#include "profile/ops/profile_points.h"
#include "profile/record/device_timer.h"
#include "profile/record/sustained_work.h"

namespace thermoe {
namespace {

std::vector<ProfilePoint> small_points() {
  const ProfiledModel small{
      .experts = {.name = "small", .experts = 16, .top_k = 4, .d_model = 512, .d_ff = 256},
      .heads = 2,
      .head_dim = 64};
  std::vector<ProfilePoint> points;
  for (ProfilePoint& point : profile_points(
           small, {.tokens = {1, 16, 100}, .active = {2, 8}, .dtypes = {"bf16", "int4"}})) {
    if (!op_problem(Backend::kCuda, point.point)) points.push_back(std::move(point));
  }
  return points;
}

TEST(DeviceProfile, EveryOpOfTheCudaBackendRunsAndIsTimedByEvents) {
  const SteadyClock clock;
  DeviceWorks works(1);
  DeviceTimer timer(nullptr, clock);
  std::map<std::string, int> parts;
  for (const ProfilePoint& point : small_points()) {
    const OpTiming timing =
        timer.time(works.make(point.point), to_string(point.point), {.warm_up = 2, .timed = 40});
    ASSERT_EQ(timing.spans_ns.size(), 40U) << to_string(point.point);
    EXPECT_EQ(timing.source, CostSource::kTimed);
    for (const std::int64_t ns : timing.spans_ns) EXPECT_GT(ns, 0);
    ++parts[point.part];
  }
  for (const char* part :
       {"expert_layer", "fc1", "gate_up", "fc2", "dequant_unpack", "activation", "topk_route"}) {
    EXPECT_GT(parts[part], 0) << part;
  }
}

TEST(DeviceProfile, CuptiFindsTheKernelsOfEachExecutionAndNoOthers) {
  const SteadyClock clock;
  auto cupti = std::make_unique<CuptiActivity>("");
  if (cupti->problem()) GTEST_SKIP() << *cupti->problem();
  DeviceWorks works(1);
  DeviceTimer timer(std::move(cupti), clock);
  for (const ProfilePoint& point : small_points()) {
    const std::string name = to_string(point.point);
    const OpTiming timing = timer.time(works.make(point.point), name, {.warm_up = 2, .timed = 40});
    ASSERT_EQ(timing.source, CostSource::kCupti);
    ASSERT_EQ(timing.spans_ns.size(), 40U) << name;
    std::int64_t kernels = 0;
    for (const KernelRecord& kernel : timing.kernels) {
      kernels += kernel.count;
      EXPECT_EQ(kernel.op, name);
      EXPECT_THAT(*kernel.name, ::testing::Not(::testing::HasSubstr("hold")));
      EXPECT_GT(*kernel.registers, 0);
      EXPECT_LE(*kernel.min_ns * kernel.count, *kernel.total_ns);
    }
    EXPECT_EQ(kernels % 40, 0) << name << ": every execution launches the same kernels";
    EXPECT_GE(kernels, 40) << name;
  }
}

TEST(DeviceProfile, WeightsComeFromMemoryAndNotFromTheCache) {
  const SteadyClock clock;
  auto cupti = std::make_unique<CuptiActivity>("");
  if (cupti->problem()) GTEST_SKIP() << *cupti->problem();
  DeviceWorks works(1);
  DeviceTimer timer(std::move(cupti), clock);
  // 4 MB of weights, a tenth of an L2: from there they would come far faster than from memory.
  const auto point = read_op_point("fused_dequant_linear [2048, 4096] int4 group 128 tokens 1");
  const OpTiming timing = timer.time(works.make(*point), to_string(*point), {});
  constexpr double kMemory = 5e12;  // bytes a second: more than any memory of today has
  EXPECT_LT(traffic_of(*point).bytes / row_of(*point, timing.spans_ns).latency.value, kMemory);
}

TEST(DeviceProfile, SustainedWorkKeepsTheDeviceBusyAndCounts) {
  DeviceWorks works(1);
  for (const ProfilePoint& point : small_points()) {
    const SustainedWork work = sustained_on_device(works.make(point.point));
    int meanwhile = 0;
    EXPECT_GT(work([&] { ++meanwhile; }), 0) << to_string(point.point);
    EXPECT_EQ(meanwhile, 1);
  }
}

TEST(DeviceProfile, AHeldStreamIsHeld) {
  const DeviceStream stream;
  const SteadyClock clock;
  hold_stream(Seconds(0), stream);
  synchronise(stream);
  const Seconds from = clock.now();
  hold_stream(Seconds(0.05), stream);
  synchronise(stream);
  EXPECT_GE(clock.now() - from, Seconds(0.049));
}

TEST(DeviceProfile, TheDeviceSaysHowLargeItsCacheIs) {
  EXPECT_GT(describe_device().l2_cache, std::size_t{1} << 20);
}

}  // namespace
}  // namespace thermoe
