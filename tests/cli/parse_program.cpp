// SPDX-License-Identifier: Apache-2.0
// `thermoe` with the parser of profiles as its only command.
#include "cli/parse_command.h"
#include "cli/run_commands.h"

int main(int argc, char** argv) {
  return thermoe::run_commands(argc, argv, [](CLI::App& app) {
    app.require_subcommand(1);
    thermoe::add_parse_command(app);
  });
}
