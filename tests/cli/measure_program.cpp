// SPDX-License-Identifier: Apache-2.0
// `thermoe` with measure as its only command.
#include "cli/measure_command.h"
#include "cli/run_commands.h"

int main(int argc, char** argv) {
  const auto measured = thermoe::cut_measured_command(argc, argv);
  return thermoe::run_commands(argc, argv, [&](CLI::App& app) {
    app.require_subcommand(1);
    thermoe::add_measure_command(app, measured);
  });
}
