// SPDX-License-Identifier: Apache-2.0
// `thermoe profile` as far as it concerns a profiler from outside: its child prints what it was
// told and ends with the exit code that it was told.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "cli/profile_under.h"
#include "core/errors.h"
#include "core/say.h"

namespace {

int run(int argc, char** argv) {
  CLI::App app;
  CLI::App* command = app.add_subcommand("profile");
  thermoe::UnderFlags flags;
  std::string out, cost_model, kernels;
  int code = 0, executions = 0;
  bool child = false;
  thermoe::add_under_flags(*command, flags);
  command->add_option("--out", out)->required();
  command->add_option("--cost-model", cost_model);
  command->add_option("--exit", code);
  command->add_option("--executions", executions);
  command->add_option("--kernels", kernels);
  command->add_flag("--child", child);
  // As a recorder it has nothing to say.
  app.add_subcommand("monitor")->allow_extras();
  app.require_subcommand(1);
  app.parse(argc, argv);
  const std::vector<std::string> arguments = thermoe::own_arguments();
  if (child) {
    fmt::print("child: {}\n", fmt::join(arguments, " "));
    return code;
  }
  if (flags.with.empty()) return 0;
  return thermoe::profile_under(flags,
                                {.arguments = arguments, .out = out, .cost_model = cost_model});
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const CLI::ParseError& error) {
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
