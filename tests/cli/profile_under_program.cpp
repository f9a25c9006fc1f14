// SPDX-License-Identifier: Apache-2.0
// `thermoe profile` as far as it concerns a profiler from outside: its child prints what it was
// told and ends with the exit code that it was told.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "cli/profile_under.h"
#include "cli/run_commands.h"

namespace {

struct Arguments {
  thermoe::UnderFlags flags{};
  std::string out{}, cost_model{}, kernels{};
  int exit_code = 0, executions = 0;
  bool child = false;
};

int profile(const Arguments& a) {
  const std::vector<std::string> own = thermoe::own_arguments();
  if (a.child) {
    fmt::print("child: {}\n", fmt::join(own, " "));
    return a.exit_code;
  }
  if (a.flags.with.empty()) return 0;
  return thermoe::profile_under(a.flags,
                                {.arguments = own, .out = a.out, .cost_model = a.cost_model});
}

}  // namespace

int main(int argc, char** argv) {
  Arguments a;
  return thermoe::run_commands(argc, argv, [&](CLI::App& app) {
    CLI::App* command = app.add_subcommand("profile");
    thermoe::add_under_flags(*command, a.flags);
    command->add_option("--out", a.out)->required();
    command->add_option("--cost-model", a.cost_model);
    command->add_option("--exit", a.exit_code);
    command->add_option("--executions", a.executions);
    command->add_option("--kernels", a.kernels);
    command->add_flag("--child", a.child);
    command->callback([&] {
      if (const int code = profile(a); code != 0) throw CLI::RuntimeError(code);
    });
    // As a recorder it has nothing to say.
    app.add_subcommand("monitor")->allow_extras();
    app.require_subcommand(1);
  });
}
