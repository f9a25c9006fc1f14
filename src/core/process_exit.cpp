// SPDX-License-Identifier: Apache-2.0
#include "core/process_exit.h"
#include "core/say.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace thermoe {

void exit_leaving_threads(int code) {
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    say(fmt::format("thermoe: standard output: cannot be written: {}\n", std::strerror(errno)));
    code = 1;
  }
  std::fflush(stderr);
  std::_Exit(code);
}

}  // namespace thermoe
