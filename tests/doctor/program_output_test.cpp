// SPDX-License-Identifier: Apache-2.0
#include "core/program_output.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <thread>

#include "core/readable.h"
#include "fake_system.h"
#include "telemetry/host_file.h"

namespace thermoe::doctor {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

class ProgramOutputTest : public ::testing::Test {
 protected:
  ProgramOutput run(const std::string& script, ProgramOptions options = {}) {
    fake_.program("/program", script);
    if (options.environment.empty()) options.environment = fake_.machine.environment;
    return run_program({fake_.path("/program")}, options);
  }

  FakeSystem fake_;
};

TEST_F(ProgramOutputTest, HoldsBothStreamsAndTheExitCode) {
  const ProgramOutput output = run("echo 1.2.3; echo trouble >&2; exit 7");
  EXPECT_EQ(output.out, "1.2.3\n");
  EXPECT_EQ(output.err, "trouble\n");
  EXPECT_EQ(output.exit_code, 7);
  EXPECT_FALSE(output.succeeded());
  EXPECT_EQ(output.failure(milliseconds(1)), "ended with exit code 7");
}

TEST_F(ProgramOutputTest, AProgramThatHangsIsStopped) {
  const ProgramOutput output = run("echo early; exec sleep 600", {.patience = milliseconds(200)});
  EXPECT_TRUE(output.timed_out);
  EXPECT_FALSE(output.exit_code.has_value());
  EXPECT_EQ(output.out, "early\n");
  EXPECT_EQ(output.failure(milliseconds(200)), "did not answer within 0.2 s and was stopped");
}

TEST_F(ProgramOutputTest, AProgramThatIgnoresSignalsIsStoppedToo) {
  EXPECT_TRUE(
      run("trap '' TERM INT HUP; while :; do :; done", {.patience = milliseconds(100)}).timed_out);
}

/// A process that is gone, or dead and not yet collected by its parent.
bool is_dead(const std::string& pid) {
  const auto status = read_host_file("/proc/" + pid + "/status").text;
  return !status || value_of(*status, "State").value_or("Z")[0] == 'Z';
}

TEST_F(ProgramOutputTest, WhatItStartedIsStoppedWithIt) {
  const ProgramOutput output = run("sleep 600 & echo $!; wait", {.patience = milliseconds(200)});
  const std::string pid = trimmed(output.out);
  ASSERT_FALSE(pid.empty());
  for (int i = 0; i < 1000 && !is_dead(pid); ++i) std::this_thread::sleep_for(milliseconds(5));
  EXPECT_TRUE(is_dead(pid));
}

TEST_F(ProgramOutputTest, AChildThatKeepsTheStreamsOpenIsNotWaitedFor) {
  const ProgramOutput output = run("sleep 600 & echo 4.5", {.patience = std::chrono::seconds(30)});
  EXPECT_TRUE(output.succeeded());
  EXPECT_EQ(output.out, "4.5\n");
}

TEST_F(ProgramOutputTest, AFloodIsCutAndItsSourceStopped) {
  const ProgramOutput output = run("while :; do echo flood; done",
                                   {.patience = std::chrono::seconds(30), .longest_output = 1000});
  EXPECT_TRUE(output.too_long);
  EXPECT_FALSE(output.timed_out);
  EXPECT_EQ(output.out.size(), 1000U);
  EXPECT_FALSE(output.succeeded());
}

TEST_F(ProgramOutputTest, GarbageAndAbsenceAreReasons) {
  fake_.file("/garbage", std::string("\x01\x02 no program at all", 20));
  ::chmod(fake_.path("/garbage").c_str(), 0755);
  const ProgramOutput garbage = run_program({fake_.path("/garbage")}, {});
  EXPECT_EQ(garbage.start_error, ENOEXEC);
  EXPECT_THAT(garbage.failure(milliseconds(1)), HasSubstr("cannot be started"));
  EXPECT_EQ(run_program({fake_.path("/absent")}, {}).start_error, ENOENT);
}

TEST_F(ProgramOutputTest, ACrashIsAReason) {
  const ProgramOutput output = run("kill -SEGV $$");
  EXPECT_FALSE(output.succeeded());
  EXPECT_EQ(output.failure(milliseconds(1)), "was ended by a signal");
}

TEST_F(ProgramOutputTest, NothingOfTheEnvironmentIsInheritedButWhatIsGiven) {
  ::setenv("THERMOE_TEST_SECRET", "secret", 1);
  const ProgramOutput output = run("echo \"[$THERMOE_TEST_SECRET] $GIVEN\"",
                                   {.environment = {"PATH=/usr/bin:/bin", "GIVEN=given"}});
  ::unsetenv("THERMOE_TEST_SECRET");
  EXPECT_EQ(output.out, "[] given\n");
}

TEST_F(ProgramOutputTest, AProgramThatReadsFindsTheEnd) {
  EXPECT_EQ(run("cat; echo end").out, "end\n");
}

}  // namespace
}  // namespace thermoe::doctor
