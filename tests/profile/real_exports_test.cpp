// SPDX-License-Identifier: Apache-2.0
// What profilers really wrote: third-party files that are kept beside the repository, not in it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "profile/parse_profiler_output.h"

namespace thermoe {
namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::Field;

class RealExports : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(kFolder)) GTEST_SKIP() << kFolder << " is not there";
  }
  static ParsedProfile parse(const std::string& name) {
    return parse_profiler_output(kFolder + name);
  }
  static std::int64_t launches(const ParsedProfile& profile) {
    std::int64_t count = 0;
    for (const KernelRecord& record : profile.kernels) count += record.count;
    return count;
  }

  inline static const std::string kFolder =
      std::string(THERMOE_SOURCE_DIR) + "/../shared/fixtures/nsys/";
};

TEST_F(RealExports, UserRangesNamedByIdOwnKernelsAlsoThoseThatCubLaunched) {
  const ParsedProfile profile = parse("nsys2025.3.1_t4_nvtx_textid.sqlite");
  EXPECT_EQ(profile.version, "2025.3.1.90");
  EXPECT_EQ(launches(profile), 109);
  EXPECT_EQ(profile.orphan_kernels, 0);
  EXPECT_EQ(profile.kernels.front().op, "Compute 0");
  EXPECT_EQ(profile.kernels.front().count, 9);
  for (const KernelRecord& record : profile.kernels) EXPECT_NE(record.op, "cub::DeviceReduce::Sum");
}

TEST_F(RealExports, WithoutNvtxNoKernelHasAnOp) {
  const ParsedProfile profile = parse("nsys2024.5.1_a100_no_nvtx.sqlite");
  EXPECT_EQ(launches(profile), 238);
  EXPECT_EQ(profile.orphan_kernels, 0);
  EXPECT_EQ(profile.devices.size(), 4U);
  EXPECT_THAT(profile.missing, Contains("NVTX_EVENTS"));
  EXPECT_THAT(profile.kernels, Each(Field("op", &KernelRecord::op, std::nullopt)));
}

TEST_F(RealExports, KernelsWhoseLaunchesWereCutAwayAreOrphans) {
  const ParsedProfile profile = parse("nsys2026.2.1_h100_orphans.sqlite");
  EXPECT_EQ(launches(profile), 206);
  EXPECT_EQ(profile.orphan_kernels, 206);
  EXPECT_THAT(profile.missing, Contains("TARGET_INFO_GPU"));
}

TEST_F(RealExports, BothPagesOfNcuAreRead) {
  for (const char* page : {"ncu_raw_h100.csv", "ncu_details_h100.csv"}) {
    const ParsedProfile profile = parse(page);
    EXPECT_EQ(launches(profile), 3) << page;
    EXPECT_EQ(profile.kernels.front().name, "k(float *)");
    EXPECT_EQ(profile.kernels.front().grid, (Extent{256, 1, 1}));
  }
  EXPECT_EQ(parse("ncu_raw_h100.csv").kernels.front().total_ns, 3 * 2368);
  EXPECT_EQ(parse("ncu_raw_h100.csv").kernels.front().registers, 16);
}

TEST_F(RealExports, RaggedDetailsAreOneLaunch) {
  const ParsedProfile profile = parse("ncu_details_copy_blocked_t4.csv");
  ASSERT_EQ(profile.kernels.size(), 1U);
  EXPECT_EQ(profile.kernels.front().count, 1);
  EXPECT_EQ(profile.kernels.front().total_ns, 21058944);
  EXPECT_EQ(profile.kernels.front().registers, 32);
}

}  // namespace
}  // namespace thermoe
