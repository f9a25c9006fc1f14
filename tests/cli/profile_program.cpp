// SPDX-License-Identifier: Apache-2.0
// `thermoe` with the profiler as its only command.
#include "cli/profile_command.h"
#include "cli/run_commands.h"

int main(int argc, char** argv) {
  return thermoe::run_commands(argc, argv, [](CLI::App& app) {
    app.require_subcommand(1);
    thermoe::add_profile_command(app);
  });
}
