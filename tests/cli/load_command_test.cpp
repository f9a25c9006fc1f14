// SPDX-License-Identifier: Apache-2.0
// `thermoe load` where it has nothing to work on: these tests hide every GPU.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <cstdlib>
#include <string>

#include "terminal_process.h"

namespace thermoe {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

class LoadCommand : public ::testing::Test {
 protected:
  LoadCommand() { ::setenv("CUDA_VISIBLE_DEVICES", "", 1); }
  ~LoadCommand() override { ::unsetenv("CUDA_VISIBLE_DEVICES"); }

  static PipedResult load(const std::string& arguments) {
    return run_piped(fmt::format("{} load {}", LOAD_PROGRAM, arguments));
  }
};

TEST_F(LoadCommand, WithoutAGpuItIsRefusedWithTheRemedy) {
  for (const char* flags :
       {"--power-fraction 0.2", "--duty 0.2 --for 1 --json", "--power-fraction 0.2 --commands"}) {
    const PipedResult result = load(flags);
    EXPECT_EQ(result.exit_code, 2) << flags;
    EXPECT_THAT(result.err, StartsWith("thermoe: ")) << flags;
    EXPECT_THAT(result.err, HasSubstr("thermoe doctor"));
    EXPECT_THAT(result.out, IsEmpty()) << flags;
  }
}

TEST_F(LoadCommand, HowMuchIsSaidInOneWay) {
  EXPECT_THAT(load("").err, HasSubstr("Give --power-fraction F"));
  EXPECT_THAT(load("--duty 0.1 --power-fraction 0.1").err, HasSubstr("one of the two"));
  EXPECT_EQ(load("").exit_code, 2);
}

TEST_F(LoadCommand, ARunsTenantHasNoTimeOfItsOwn) {
  const PipedResult result = load("--duty 0.1 --commands --for 5");
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("leave --for and --json out"));
}

TEST_F(LoadCommand, NumbersOutOfRangeNameTheFlag) {
  EXPECT_THAT(load("--duty 1.5").err, HasSubstr("--duty"));
  EXPECT_THAT(load("--power-fraction 0").err, HasSubstr("--power-fraction"));
  EXPECT_THAT(load("--duty 0.1 --products 2").err, HasSubstr("--products"));
  EXPECT_THAT(load("--duty 0.1 --gpu -1").err, HasSubstr("--gpu"));
}

}  // namespace
}  // namespace thermoe
