// SPDX-License-Identifier: Apache-2.0
// `thermoe profile --with nsys|ncu`, as a user meets it, with programs of those names on PATH that
// stand in for the real ones.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <string>

#include "cli/profile_under.h"
#include "export_builder.h"
#include "scratch_file.h"
#include "stand_in_tools.h"
#include "terminal_process.h"

namespace thermoe {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class ProfileUnder : public ::testing::Test {
 protected:
  ProfileUnder() {
    recorded_ = folder_ / "recorded.sqlite";
    ExportBuilder build(recorded_);
    build.with_all().string(1, "k").string(2, "cudaLaunchKernel").domain(1, "thermoe");
    build.range({.start = 100, .end = 500, .text = "'fc1'", .domain = 1});
    build.call({.start = 200, .end = 300, .correlation = 1});
    build.kernel({.start = 400, .end = 900, .correlation = 1});
  }
  PipedResult profile(const std::string& arguments) const {
    return run_piped(fmt::format("PATH={}:/usr/bin:/bin {} profile --out {} {}", folder_ / "bin",
                                 PROFILE_UNDER_PROGRAM, folder_ / "out", arguments));
  }

  ScratchFolder folder_{};
  StandInTools tools_{folder_};
  std::string recorded_{};
};

TEST_F(ProfileUnder, TheChildIsThisProgramWithTheSameArguments) {
  tools_.nsys(recorded_);
  const PipedResult result = profile("--with nsys --no-gpu-metrics --exit 0");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out,
              HasSubstr(fmt::format("child: profile --exit 0 --child --out {} --kernels cuda\n",
                                    folder_ / "out/nsys-child")));
  EXPECT_THAT(result.out, HasSubstr("1 kernel launch of 1 kind"));
  EXPECT_THAT(result.out, HasSubstr("fc1"));
  EXPECT_THAT(result.err, HasSubstr("profile: Nsight Systems 2024.5.1.113 ("));
  EXPECT_THAT(result.err, HasSubstr("profile: wrote " + (folder_ / "out/nsys-1.sqlite")));
}

TEST_F(ProfileUnder, NcuGetsFewExecutionsUnlessTheyAreAskedFor) {
  tools_.ncu("none");
  EXPECT_THAT(profile("--with ncu --dry-run").out,
              HasSubstr("ncu-child --kernels cuda --executions 4\n"));
  EXPECT_THAT(profile("--with ncu --dry-run --executions 9").out,
              AllOf(HasSubstr("--executions 9 --child"), Not(HasSubstr("--executions 4"))));
}

TEST_F(ProfileUnder, ADryRunPrintsTheCommandsAndRunsNothing) {
  tools_.nsys(recorded_);
  const PipedResult result = profile("--with nsys --dry-run");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("nsys profile --trace=cuda,nvtx "),
                                HasSubstr("nsys export --type=sqlite"), Not(HasSubstr("child:"))));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out"));
}

TEST_F(ProfileUnder, TheExitCodeSaysWhoseFaultItWas) {
  tools_.nsys(recorded_);
  EXPECT_EQ(profile("--with nsys --exit 7").exit_code, 7);
  tools_.set_export("echo broken >&2; exit 3");
  tools_.nsys(recorded_);
  EXPECT_EQ(profile("--with nsys").exit_code, 1);
  const PipedResult absent = profile("--with ncu --ncu-path /absent/ncu");
  EXPECT_EQ(absent.exit_code, 2);
  EXPECT_THAT(absent.err, HasSubstr("--ncu-path /absent/ncu"));
  EXPECT_EQ(profile("--with perf").exit_code, 2);
  EXPECT_EQ(profile("--dry-run").exit_code, 2) << "of nothing";
}

TEST(ChildArguments, AreThoseWithoutTheProfiler) {
  EXPECT_THAT(
      child_arguments({"profile", "--with", "nsys", "--model", "a", "--nsys-path=/x/nsys",
                       "--no-gpu-metrics", "--ncu-path", "/y", "--replay", "kernel", "--dry-run",
                       "--budget", "8m", "--out=here", "--cost-model", "m.json", "--energy"}),
      ElementsAre("profile", "--model", "a", "--budget", "8m", "--child"));
}

}  // namespace
}  // namespace thermoe
