// SPDX-License-Identifier: Apache-2.0
// `thermoe` with the profiler as its only command.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <exception>

#include "cli/profile_command.h"
#include "core/errors.h"
#include "core/say.h"

int main(int argc, char** argv) {
  CLI::App app;
  app.require_subcommand(1);
  thermoe::add_profile_command(app);
  try {
    app.parse(argc, argv);
    return 0;
  } catch (const CLI::RuntimeError& error) {
    return error.get_exit_code();
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    thermoe::say(fmt::format("thermoe: {}\n", error.what()));
    return 2;
  } catch (const thermoe::UsageError& error) {
    thermoe::say(fmt::format("thermoe: {}\n", error.what()));
    return 2;
  } catch (const std::exception& error) {
    thermoe::say(fmt::format("thermoe: {}\n", error.what()));
    return 1;
  }
}
