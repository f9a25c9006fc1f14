// SPDX-License-Identifier: Apache-2.0
#include "doctor/run_doctor.h"

#include <gmock/gmock.h>

#include <cstdio>
#include <cstdlib>

#include "fake_nvml/scripted_nvml.h"
#include "fake_system.h"

namespace thermoe::doctor {
namespace {

/// What a driver's library may register, too: its handlers run while a thread is still inside it.
void end_as_a_library_would() { std::_Exit(77); }

class RunDoctor : public ::testing::Test {
 protected:
  RunDoctor() {
    fake_.add_usual_files();
    fake_.machine.nvml_library = nvml_.library();
  }

  /// The exit code of a process that examines the machine and returns from main; its output goes to
  /// `path`.
  void examine_and_exit(const std::string& path) const {
    if (std::freopen(path.c_str(), "w", stdout) == nullptr) std::_Exit(99);
    std::atexit(end_as_a_library_would);
    std::exit(run_doctor(fake_.machine, {}));
  }

  ScriptedNvml nvml_;
  FakeSystem fake_;
};

TEST_F(RunDoctor, PrintsAndReturnsWhereTheDriverAnswers) {
  EXPECT_EXIT(examine_and_exit(fake_.path("/out")), ::testing::ExitedWithCode(77), "");
}

TEST_F(RunDoctor, WhereTheDriverHangsAllIsPrintedAndNoExitHandlerMeetsItsThread) {
  nvml_.write("hang.nvmlInit_v2 = 60\n");
  fake_.machine.nvml_patience = std::chrono::milliseconds(50);
  const std::string out = fake_.path("/out");
  EXPECT_EXIT(examine_and_exit(out), ::testing::ExitedWithCode(0), "");
  std::ifstream file(out);
  const std::string text(std::istreambuf_iterator<char>(file), {});
  EXPECT_THAT(text, testing::HasSubstr("the driver hangs"));
  EXPECT_THAT(text, testing::HasSubstr("Here and now: "));
}

TEST_F(RunDoctor, OutputThatCannotBeWrittenIsAFailureThereToo) {
  nvml_.write("hang.nvmlInit_v2 = 60\n");
  fake_.machine.nvml_patience = std::chrono::milliseconds(50);
  EXPECT_EXIT(examine_and_exit("/dev/full"), ::testing::ExitedWithCode(1),
              "standard output: cannot be written: No space left on device");
}

}  // namespace
}  // namespace thermoe::doctor
