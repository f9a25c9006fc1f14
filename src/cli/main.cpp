// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <csignal>
#include <optional>

#include "cli/commands.h"
#include "cli/eval_engine_command.h"
#include "cli/interrupt_watch.h"
#include "cli/measure_command.h"
#include "cli/run_commands.h"
#include "cli/version.h"

namespace {

/// A standard descriptor that the caller closed would be given to the next file opened, which a
/// message would then overwrite. On /dev/null, opened the wrong way round, its use fails as before.
void open_standard_descriptors() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) != -1) continue;
    [[maybe_unused]] const int taken =
        ::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);  // the lowest free: fd
  }
}

void describe(CLI::App& app) {
  app.description(
      "thermoe: hardware-aware dynamic routing for Mixture-of-Experts models.\n"
      "Holds power, temperature or latency targets by choosing which experts run.");
  app.footer(
      "Examples:\n"
      "  thermoe run experiments/demo.json      compare strategies under a power cap (simulated "
      "H100)\n"
      "  thermoe report runs/demo-1             the run as a page of plots, offline\n"
      "  thermoe monitor                        GPUs, host and runs, live in the terminal\n"
      "  thermoe measure -- COMMAND             joules, watts and degrees of a command\n"
      "  thermoe load --power-fraction 0.2      another tenant of the GPU\n"
      "  thermoe profile --list                 what each op costs here: the plan of measuring it\n"
      "  thermoe cost show data/h100/kernel_cost_model.json\n"
      "  thermoe eval --help                    bits/byte of a checkpoint\n"
      "  thermoe eval-engine --help             what prices cost a model in the engine that serves "
      "it\n"
      "Exit codes: 0 done, 1 failed, 2 bad input.");
  app.set_version_flag("--version", std::string("thermoe ") + thermoe::kVersion);
  app.require_subcommand(1);
  app.add_subcommand("version", "Print the version")->callback([] {
    fmt::print("thermoe {}\n", thermoe::kVersion);
  });
}

}  // namespace

int main(int argc, char** argv) {
  open_standard_descriptors();
  // A file size limit then fails the write, which names the file, instead of killing the process.
  std::signal(SIGXFSZ, SIG_IGN);
  std::atomic<bool> stop{false};
  std::optional<thermoe::InterruptWatch> interrupts;
  const auto measured = thermoe::cut_measured_command(argc, argv);
  const auto engine_words = thermoe::cut_engine_words(argc, argv);
  return thermoe::run_commands(argc, argv, [&](CLI::App& app) {
    describe(app);
    thermoe::add_commands(app, stop, measured, engine_words);
    // Only these end cleanly on Ctrl-C; the others just end.
    for (const char* name : {"run", "train", "logits", "eval", "load"}) {
      app.get_subcommand(name)->preparse_callback([&](std::size_t) { interrupts.emplace(stop); });
    }
  });
}
