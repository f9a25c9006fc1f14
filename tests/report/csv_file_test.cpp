// SPDX-License-Identifier: Apache-2.0
#include "report/csv_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "core/errors.h"

namespace thermoe {
namespace {

std::string temporary(const std::string& name) {
  return (std::filesystem::temp_directory_path() /
          (name + "." + std::to_string(::getpid()) + ".csv"))
      .string();
}

std::string content(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

TEST(CsvFile, TextWithCommasAndQuotesIsQuotedAndAbsentIsEmpty) {
  const std::string path = temporary("quoted");
  {
    CsvFile file(path, {"reason", "power_w", "count"});
    file.add(CsvRow().add("stale, \"0.9 s\"").add(std::optional<double>()).add(3));
    file.add(CsvRow().add("").add(std::optional<Watts>(Watts(350.25))).add(-1));
  }
  EXPECT_EQ(content(path), "reason,power_w,count\n\"stale, \"\"0.9 s\"\"\",,3\n,350.25,-1\n");
  std::filesystem::remove(path);
}

TEST(CsvFile, ARowOfTheWrongLengthIsRefused) {
  const std::string path = temporary("short");
  CsvFile file(path, {"a", "b"});
  EXPECT_THROW(file.add(CsvRow().add(1)), PreconditionError);
  std::filesystem::remove(path);
}

TEST(CsvFile, AFullDiskIsAnErrorThatNamesTheFile) {
  try {
    CsvFile file("/dev/full", {"a"});
    FAIL() << "writing to a full device succeeded";
  } catch (const WriteError& error) {
    EXPECT_NE(std::string(error.what()).find("/dev/full: cannot be written: No space left"),
              std::string::npos)
        << error.what();
  }
}

TEST(CsvFile, ADiskThatFillsUpKeepsTheWholeRowsBefore) {
  const std::string path = temporary("filling");
  const pid_t child = ::fork();
  if (child == 0) {  // a limit on file size stands for the disk; it must not bind the test itself
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{.rlim_cur = 1000, .rlim_max = 1000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    try {
      CsvFile file(path, {"a", "b"});
      for (;;) file.add(CsvRow().add("some words here").add(1));
    } catch (const WriteError&) {
      ::_exit(7);
    }
    ::_exit(1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 7);
  const std::string text = content(path);
  EXPECT_GT(text.size(), 900U);
  EXPECT_EQ(text.substr(text.size() - 19), "\nsome words here,1\n");
  std::filesystem::remove(path);
}

TEST(CsvFile, AKilledProcessLosesNoRowThatWasAdded) {
  const std::string path = temporary("killed");
  const pid_t child = ::fork();
  if (child == 0) {
    CsvFile file(path, {"n"});
    for (int n = 0; n < 100; ++n) file.add(CsvRow().add(n));
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  const std::string text = content(path);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 101);
  EXPECT_EQ(text.substr(text.size() - 4), "\n99\n");
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace thermoe
