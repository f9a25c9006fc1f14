// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace thermoe {

/// Of `thermoe profile --with nsys` and `--with ncu`.
struct UnderFlags {
  std::string with{};  ///< the profiler's name; empty: none, kernels are timed in process
  std::string nsys_path{}, ncu_path{};
  std::string replay = "kernel";
  bool no_gpu_metrics = false, dry_run = false;
};

void add_under_flags(CLI::App& command, UnderFlags& flags);

/// What else the command was told.
struct UnderTask {
  std::vector<std::string> arguments{};  ///< of this program, from the command's name on
  std::string out{};                     ///< folder
  std::string cost_model{};              ///< to merge into; empty: none
  std::string nvml_library{};            ///< empty: the driver's
};

/// Runs this program with those arguments, as a child, under the profiler, and prints what it
/// recorded; or prints the commands, where only they are asked for. Returns the exit code: 0, the
/// child's, or 128 + n after signal n. Throws as run_under does. No InterruptWatch may live:
/// signals are handed on to the profiler.
int profile_under(const UnderFlags& flags, const UnderTask& task);

/// The arguments that this process was started with, from the first behind its name.
std::vector<std::string> own_arguments();

/// `arguments` of `thermoe profile` as its child under a profiler has them: without those that ask
/// for the profiler, for sensors and for files that it does not write, with --child.
std::vector<std::string> child_arguments(const std::vector<std::string>& arguments);

}  // namespace thermoe
