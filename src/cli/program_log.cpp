// SPDX-License-Identifier: Apache-2.0
#include "cli/program_log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

namespace thermoe {

void install_program_log() {
  spdlog::set_default_logger(spdlog::stderr_color_mt("thermoe"));
  spdlog::set_level(spdlog::level::err);
}

}  // namespace thermoe
