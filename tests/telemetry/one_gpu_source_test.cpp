// SPDX-License-Identifier: Apache-2.0
#include "telemetry/one_gpu_source.h"

#include <gmock/gmock.h>

#include "core/errors.h"
#include "scripted_source.h"

namespace thermoe {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

Snapshot two_gpus() {
  Snapshot snapshot{.gpus = std::vector<GpuReading>(2), .host = std::vector<HostReading>(1)};
  snapshot.host[0].name = "RAPL package-0";
  snapshot.gpus[0] = {.uuid = "GPU-aaaa", .index = 0};
  snapshot.gpus[0].power_instant.value = Watts(100);
  snapshot.gpus[1] = {.uuid = "GPU-bbbb", .index = 1};
  snapshot.gpus[1].power_instant.value = Watts(300);
  return snapshot;
}

Snapshot read(const Snapshot& all, const std::string& uuid) {
  OneGpuSource source(std::make_unique<ScriptedSource>([&] { return all; }), uuid);
  return source.read(Seconds(0));
}

std::string failure(const Snapshot& all, const std::string& uuid) {
  try {
    read(all, uuid);
  } catch (const TelemetryError& e) {
    return e.what();
  }
  return "none";
}

TEST(OneGpuSource, ShowsTheNamedGpuAndNothingElse) {
  const Snapshot one = read(two_gpus(), "GPU-bbbb");
  ASSERT_EQ(one.gpus.size(), 1U);
  EXPECT_EQ(one.gpus[0].uuid, "GPU-bbbb");
  EXPECT_EQ(one.gpus[0].index, 1U) << "as the driver numbers it";
  EXPECT_EQ(one.gpus[0].power_instant.value, Watts(300));
  EXPECT_TRUE(one.host.empty());
}

TEST(OneGpuSource, KeepsItsProblemsAndDropsThoseOfOthers) {
  Snapshot all = two_gpus();
  all.problems = {"GPU 0 (H100, GPU-aaaa): lost", "GPU 1 said power_w -3", "GPU 10 said -3",
                  "the driver is old"};
  EXPECT_THAT(read(all, "GPU-bbbb").problems,
              ElementsAre("GPU 1 said power_w -3", "GPU 10 said -3", "the driver is old"));
}

TEST(OneGpuSource, AGpuThatIsLostOrUnlistedIsAnError) {
  EXPECT_THAT(failure(two_gpus(), "GPU-cccc"), AllOf(HasSubstr("scripted"), HasSubstr("GPU-cccc")));
  Snapshot lost = two_gpus();
  lost.gpus[1].power_instant.value.reset();
  lost.problems = {"GPU 1 (H100, GPU-bbbb): lost. Remedy: look at dmesg"};
  EXPECT_THAT(failure(lost, "GPU-bbbb"), HasSubstr("look at dmesg"));
  EXPECT_EQ(read(lost, "GPU-aaaa").gpus.size(), 1U) << "another's loss is no error";
}

TEST(OneGpuSource, AReadingThatCannotBeIsNoLostGpu) {
  Snapshot odd = two_gpus();
  odd.gpus[1].power_instant.value = Watts(4294967);
  EXPECT_TRUE(read(odd, "GPU-bbbb").gpus[0].power_instant.rejected);
}

TEST(OneGpuSource, RefusesNoSourceAndNoName) {
  EXPECT_THROW(OneGpuSource(nullptr, "GPU-aaaa"), PreconditionError);
  EXPECT_THROW(OneGpuSource(std::make_unique<ScriptedSource>(two_gpus), ""), PreconditionError);
}

}  // namespace
}  // namespace thermoe
