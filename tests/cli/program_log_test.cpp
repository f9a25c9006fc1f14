// SPDX-License-Identifier: Apache-2.0
#include "cli/program_log.h"

#include <gmock/gmock.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

namespace thermoe {
namespace {

TEST(ProgramLog, EveryThreadMayWriteToItAndErrorsGoToStandardError) {
  install_program_log();
  const auto& sinks = spdlog::default_logger()->sinks();
  ASSERT_EQ(sinks.size(), 1U);
  EXPECT_NE(std::dynamic_pointer_cast<spdlog::sinks::stderr_color_sink_mt>(sinks.front()), nullptr)
      << "a sink without a lock: telemetry's and the control loop's threads log, too";
  EXPECT_FALSE(spdlog::should_log(spdlog::level::warn));
}

}  // namespace
}  // namespace thermoe
