// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "run_under_fixture.h"

namespace thermoe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

TEST_F(RunUnderNcu, KernelsGetTheOpsOfTheirRangesAndBothPagesAreKept) {
  tools_.ncu(raw_page());
  const UnderResult result = run();
  ASSERT_TRUE(result.profile);
  EXPECT_EQ(result.profile->tool, "ncu");
  ASSERT_EQ(result.profile->kernels.size(), 1U);
  EXPECT_EQ(result.profile->kernels.front().op, kLinear);
  EXPECT_EQ(result.profile->kernels.front().total_ns, 2400);
  EXPECT_THAT(result.files,
              ElementsAre(folder_ / "out/ncu-1.ncu-rep", folder_ / "out/ncu-1-raw.csv",
                          folder_ / "out/ncu-1-details.csv", folder_ / "out/ncu-1.json"));
  EXPECT_THAT(printed_, Not(HasSubstr("Process ID")));
}

TEST_F(RunUnderNcu, ARealPageWithoutRangesOfOursHasNoOps) {
  const std::string page =
      std::string(THERMOE_SOURCE_DIR) + "/../shared/fixtures/nsys/ncu_raw_h100.csv";
  if (!std::filesystem::exists(page)) GTEST_SKIP() << page << " is not there";
  tools_.ncu(page);
  EXPECT_THAT(failure<Error>(), HasSubstr("no NVTX range of the domain thermoe"));
}

TEST_F(RunUnderNcu, MissingPermissionForCountersComesWithWhoMayGiveIt) {
  tools_.ncu(
      raw_page(),
      "echo '==ERROR== ERR_NVGPUCTRPERM - The user does not have permission to access NVIDIA "
      "GPU Performance Counters on the target device 0.' >&2; exit 1");
  const std::string message = failure<UsageError>();
  EXPECT_THAT(message, HasSubstr("ERR_NVGPUCTRPERM"));
  EXPECT_THAT(message, HasSubstr("NVreg_RestrictProfilingToAdminUsers=0"));
  EXPECT_THAT(message, HasSubstr("`docker run --gpus all --cap-add SYS_ADMIN ...`; or run"));
  EXPECT_THAT(message, Not(HasSubstr("\n")));
}

TEST_F(RunUnderNcu, AFaultIsFoundBeforeAndAfterAFlood) {
  for (const char* order : {"echo \"$error\"; yes line | head -c 1000000",
                            "yes line | head -c 1000000; echo \"$error\""}) {
    tools_.ncu(raw_page(), fmt::format("error='ERR_NVGPUCTRPERM'; {}; exit 1", order));
    EXPECT_THAT(failure<UsageError>(), HasSubstr("ERR_NVGPUCTRPERM")) << order;
  }
}

TEST_F(RunUnderNcu, AnothersHoldOnTheCountersAndAMissingDriverAreTheUsersToMend) {
  tools_.ncu(raw_page(),
             "echo 'Profiling failed because a driver resource was unavailable.'; exit 1");
  EXPECT_THAT(failure<UsageError>(), HasSubstr("dcgmi profile --pause"));
  tools_.ncu(raw_page(), "echo 'Nsight Compute failed to connect to the CUDA driver'; exit 1");
  EXPECT_THAT(failure<UsageError>(), HasSubstr("no CUDA driver"));
}

TEST_F(RunUnderNcu, ASandboxThatHidesTheDriverIsNot) {
  tools_.ncu(raw_page(), "echo 'Failed to initialize the profiler: LibraryNotLoaded'; exit 1");
  EXPECT_THAT(failure<Error>(), HasSubstr("sandbox"));
}

TEST_F(RunUnderNcu, NoKernelInOurRangesIsSaid) {
  tools_.ncu(raw_page(), "echo '==WARNING== No kernels were profiled.'; exit 0");
  EXPECT_THAT(failure<Error>(), HasSubstr("no kernel within an NVTX range of the domain thermoe"));
}

TEST_F(RunUnderNcu, TheChildsExitCodeIsTheOneThatNcuSays) {
  tools_.ncu(raw_page());
  request_.child = {"/bin/sh", "-c", "exit 5"};
  EXPECT_EQ(run().exit_code, 5);
}

TEST_F(RunUnderNcu, FillsNoCostModel) {
  request_.cost_model = "model.json";
  EXPECT_THAT(failure<UsageError>(), HasSubstr("no latencies"));
}

}  // namespace
}  // namespace thermoe
