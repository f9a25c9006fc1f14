// SPDX-License-Identifier: Apache-2.0
// `thermoe` with the load as its only command.
#include <atomic>

#include "cli/load_command.h"
#include "cli/run_commands.h"

int main(int argc, char** argv) {
  const std::atomic<bool> stop{false};
  return thermoe::run_commands(argc, argv, [&](CLI::App& app) {
    app.require_subcommand(1);
    thermoe::add_load_command(app, stop);
  });
}
