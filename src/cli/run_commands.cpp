// SPDX-License-Identifier: Apache-2.0
#include "cli/run_commands.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>

#include "core/errors.h"
#include "core/say.h"
#include "core/terminal_text.h"

namespace thermoe {
namespace {

constexpr int kFailed = 1;
constexpr int kBadInput = 2;

int complain(const char* message, int code) {
  say(fmt::format("thermoe: {}\n", printable(message, true)));
  return code;
}

/// Help and version are printed; anything else that the parser refuses is bad input.
int exit_of(const CLI::App& app, const CLI::ParseError& error) {
  if (dynamic_cast<const CLI::RuntimeError*>(&error) != nullptr) return error.get_exit_code();
  if (error.get_exit_code() == 0) return app.exit(error);
  return complain(
      fmt::format("{} (thermoe --help lists commands, thermoe COMMAND --help their options)",
                  error.what())
          .c_str(),
      kBadInput);
}

int run(int argc, char** argv, const std::function<void(CLI::App&)>& describe) {
  CLI::App app;
  describe(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return exit_of(app, error);
  }
  return 0;
}

/// What was printed must have arrived: a full disk may show only when the buffer is written.
void finish_output() {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return;
  throw WriteError(fmt::format("standard output: cannot be written: {}", std::strerror(errno)));
}

}  // namespace

int run_commands(int argc, char** argv, const std::function<void(CLI::App&)>& describe) {
  try {
    const int code = run(argc, argv, describe);
    finish_output();
    return code;
  } catch (const UsageError& error) {
    return complain(error.what(), kBadInput);
  } catch (const std::exception& error) {
    return complain(error.what(), kFailed);
  }
}

}  // namespace thermoe
