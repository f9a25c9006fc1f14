// SPDX-License-Identifier: Apache-2.0
#include "cli/monitor_command.h"

#include <fmt/format.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/metrics_option.h"
#include "cli/number_option.h"
#include "cli/source_option.h"
#include "cli/terminal_environment.h"
#include "core/errors.h"
#include "monitor/run_monitor.h"

namespace thermoe {
namespace {

struct Flags {
  SourceFlags sensors{};
  bool once = false, csv = false, json = false, no_colour = false;
  double period_ms = 0.0;  // 0 = not given
  double duration_s = 0.0;
  std::optional<std::string> run{};
  MetricsFlags metrics{};
};

OutputPlace output_place(const Flags& flags) {
  return {.terminal = output_is_terminal(),
          .keyboard = ::isatty(STDIN_FILENO) == 1,
          .colour = output_has_colour() && !flags.no_colour,
          .unicode = speaks_utf8()};
}

MonitorRequest request_of(const Flags& flags) {
  MonitorRequest request{.nvml_library = flags.sensors.nvml_library,
                         .plant_file = flags.sensors.plant,
                         .once = flags.once};
  if (const auto chosen = chosen_source(flags.sensors)) {
    request.source = chosen->kind;
    request.replay_file = chosen->replay_file;
  }
  if (flags.csv) request.output = MonitorRequest::Output::kCsv;
  if (flags.json) request.output = MonitorRequest::Output::kJson;
  if (flags.run && flags.run->empty()) {
    throw UsageError("--run \"\": names no folder; give one that thermoe run writes");
  }
  request.run = flags.run;
  const bool run_only = request.run && !request.source;
  request.gpus = chosen_gpus(flags.sensors, request.source.value_or(SourceKind::kMachine),
                             run_only ? std::optional<std::string_view>("--run") : std::nullopt);
  if (flags.csv && request.run && !request.source) {
    throw UsageError(fmt::format(
        "--csv --run {0}: {0}/metrics.csv is that CSV already; leave one of the two out",
        *flags.run));
  }
  if (run_only && flags.metrics.port) {
    throw UsageError(fmt::format(
        "--metrics --run {}: a run's own readings are served by `thermoe run --metrics`; give a "
        "--source to serve, or leave --metrics out",
        *flags.run));
  }
  if (flags.period_ms > 0.0) request.period = Seconds(1e-3 * flags.period_ms);
  if (flags.duration_s > 0.0) request.duration = Seconds(flags.duration_s);
  return request;
}

void add_options(CLI::App& command, Flags& flags) {
  add_source_options(command, flags.sensors);
  command
      .add_option("--run", flags.run,
                  "Show the run in this folder as it goes: strategy, lambda, active experts, "
                  "cap")
      ->type_name("DIR");
  CLI::Option* once = command.add_flag(
      "--once", flags.once,
      "Print one reading and end; waits up to 5 s for it (--duration), then exit code 1");
  CLI::Option* csv =
      command.add_flag("--csv", flags.csv, "A row a GPU and reading, for replay too");
  command.add_flag("--json", flags.json, "A line of JSON a reading")->excludes(csv);
  command
      .add_option("--period", flags.period_ms,
                  "Time between two readings (default: 100 with --csv and --json, 500 in the view, "
                  "1000 where standard output is no terminal)")
      ->type_name("MS")
      ->check(real_number(10.0, 3.6e6));
  command
      .add_option("--duration", flags.duration_s, "End after this time; with --once, wait so long")
      ->type_name("S")
      ->check(real_number(0.01, 1e9));
  add_metrics_options(command, flags.metrics)->excludes(once);
  command.add_flag("--no-color,--no-colour", flags.no_colour,
                   "No colours (as with NO_COLOR in the environment)");
}

}  // namespace

void add_monitor_command(CLI::App& app) {
  // Shared by the callback, which outlives this function.
  const auto flags = std::make_shared<Flags>();
  CLI::App* command =
      app.add_subcommand("monitor", "Watch GPUs, host and runs: live, once, as CSV or JSON");
  add_options(*command, *flags);
  command->footer(
      "Examples:\n"
      "  thermoe monitor                          live view; q or Ctrl-C ends it\n"
      "  thermoe monitor --once\n"
      "  thermoe monitor --csv > trace.csv        then: thermoe monitor --source replay trace.csv\n"
      "  thermoe monitor --run runs/demo-1        beside a run, or after it\n"
      "  thermoe monitor --gpu 0,3                two of the GPUs\n"
      "  thermoe monitor --metrics 9464           and for Prometheus, at 127.0.0.1:9464/metrics\n"
      "  thermoe monitor --source simulated       without a GPU: an H100 under an invented load\n"
      "Exit codes: 0 done, 1 nothing answered (--once), 2 bad input, 130 after Ctrl-C.");
  command->callback([flags] {
    const MonitorRequest request = request_of(*flags);
    const auto served = serve_metrics(flags->metrics);
    const int code =
        run_monitor(request, output_place(*flags), served ? &served->board() : nullptr);
    if (code != 0) throw CLI::RuntimeError(code);
  });
}

}  // namespace thermoe
