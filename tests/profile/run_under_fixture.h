// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <exception>
#include <string>
#include <type_traits>
#include <vector>

#include "core/errors.h"
#include "export_builder.h"
#include "profile/under/run_under.h"
#include "scratch_file.h"
#include "stand_in_tools.h"

namespace thermoe {

inline constexpr const char* kLinear = "linear [1536, 2048] bf16 tokens 4";

/// Runs of `run_under` with stand-ins for the tools, in a folder of the test's own.
class RunUnder : public ::testing::Test {
 protected:
  RunUnder() {
    request_.folder = folder_ / "out";
    request_.child = {"/bin/sh", "-c", "echo \"op done\"; echo trouble >&2"};
  }

  /// An export with three launches of one op within ranges of a domain.
  std::string recorded(const std::string& domain = "thermoe", const std::string& gpu = "Test GPU") {
    const std::string path = folder_ / "recorded.sqlite";
    ExportBuilder build(path);
    build.with_all().string(1, "k").string(2, "cudaLaunchKernel").domain(1, domain);
    constexpr std::int64_t kThread = ExportBuilder::kProcess + 1;
    build.exec(fmt::format("UPDATE TARGET_INFO_GPU SET name='{}'", gpu));
    for (int i = 0; i < 3; ++i) {
      const std::int64_t at = 100'000 * (i + 1);
      build.range(
          {.start = at, .end = at + 5000, .text = fmt::format("'{}'", kLinear), .domain = 1});
      build.call({.start = at + 100, .end = at + 200, .correlation = i + 1, .thread = kThread});
      build.kernel({.start = at + 300, .end = at + 12'300, .correlation = i + 1});
    }
    return path;
  }

  /// Runs it with what parent, tool and child print kept in `printed_`.
  UnderResult run() {
    SignalQueue signals;
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    std::exception_ptr error;
    UnderResult result;
    try {
      result = run_under(request_, tools_.places, signals, tell_);
    } catch (...) {
      error = std::current_exception();
    }
    printed_ = ::testing::internal::GetCapturedStdout();
    printed_errors_ = ::testing::internal::GetCapturedStderr();
    if (error) std::rethrow_exception(error);
    return result;
  }
  /// The message of the error that a run ends with, which is of that kind.
  template <class Kind>
  std::string failure() {
    try {
      run();
    } catch (const Error& error) {
      const bool usage = dynamic_cast<const UsageError*>(&error) != nullptr;
      EXPECT_NE(dynamic_cast<const Kind*>(&error), nullptr) << error.what();
      EXPECT_EQ((std::is_base_of_v<UsageError, Kind>), usage) << error.what();
      return error.what();
    }
    return "none";
  }

  ScratchFolder folder_{};
  StandInTools tools_{folder_};
  UnderRequest request_{};
  std::vector<std::string> told_{};
  Tell tell_ = [this](const std::string& text) { told_.push_back(text); };
  std::string printed_{}, printed_errors_{};
};

class RunUnderNcu : public RunUnder {
 protected:
  RunUnderNcu() { request_.profiler = Profiler::kNcu; }

  /// One launch of an op within a range of our domain.
  std::string raw_page() {
    return folder_.write(
        "raw.csv",
        "\"ID\",\"Process ID\",\"Kernel Name\",\"Block Size\",\"Grid Size\","
        "\"thread Domain:Push/Pop_Range:PL_Type:PL_Value:CLR_Type:Color:Msg_Type:Msg\","
        "\"gpu__time_duration.sum\",\"launch__registers_per_thread\"\n"
        "\"\",\"\",\"\",\"\",\"\",\"\",\"ns\",\"register/thread\"\n"
        "\"0\",\"7\",\"k\",\"(256, 1, 1)\",\"(132, 1, 1)\","
        "\"1  \"\"thermoe:linear [1536, 2048] bf16 tokens 4:none:none:none:none:none:none\"\"\","
        "\"2400\",\"32\"\n");
  }
};

}  // namespace thermoe
