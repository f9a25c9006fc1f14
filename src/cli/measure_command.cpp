// SPDX-License-Identifier: Apache-2.0
#include "cli/measure_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string_view>
#include <utility>

#include "cli/number_option.h"
#include "cli/out_file.h"
#include "cli/source_option.h"
#include "core/errors.h"
#include "core/terminal_text.h"
#include "measure/output_number.h"
#include "measure/run_measure.h"

namespace thermoe {
namespace {

constexpr double kLongest = 1e7;  // seconds
constexpr int kMostRuns = 10000;

struct Flags {
  SourceFlags sensors{};
  std::vector<std::string> stray{};
  double seconds = 0.0, skip = 0.0, idle = 0.0, units = 0.0;  // 0 = not given
  int repeat = 1, warmup = 0;
  std::string regex{}, url{}, counter{}, unit_name = "unit";
  std::string out{};
  bool json = false, quiet = false;
};

void choose_units(const Flags& flags, bool command, UnitsChoice& choice) {
  const int ways = int{flags.units > 0.0} + int{!flags.regex.empty()} + int{!flags.url.empty()};
  if (ways > 1) {
    throw UsageError(
        "--units, --units-regex and --units-url: are three ways to count the same; give one");
  }
  if (flags.url.empty() != flags.counter.empty()) {
    throw UsageError(
        "--units-url URL and --units-counter NAME: belong together, as in --units-url "
        "http://localhost:8000/metrics --units-counter vllm:generation_tokens_total");
  }
  if (!flags.regex.empty() && !command) {
    throw UsageError("--units-regex: looks at what a command prints, and there is no command");
  }
  if (!flags.regex.empty() && flags.skip > 0.0) {
    throw UsageError(
        "--units-regex --skip: the command counts all its work, but the energy of its begin is cut "
        "off; count with --units-url, which is read at the window's edges, or leave --skip out");
  }
  const auto in_name = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  };
  if (flags.unit_name.empty() || flags.unit_name.size() > 32 ||
      !std::ranges::all_of(flags.unit_name, in_name)) {
    throw UsageError(fmt::format(
        "--unit-name '{}': one unit in lower case (a-z, 0-9, _; at most 32), such as token",
        printable(flags.unit_name, true)));
  }
  choice.name = flags.unit_name;
  if (flags.units > 0.0) choice.count = flags.units;
  if (!flags.regex.empty()) {
    const OutputNumber valid(flags.regex);  // before any work
    choice.regex = flags.regex;
  }
  if (!flags.url.empty()) {
    choice.url = parse_http_url(flags.url);
    choice.counter = parse_counter_selector(flags.counter);
  }
}

void check_time(const Flags& flags, const MeasureRequest& request) {
  const bool command = !request.command.empty();
  if (command && request.seconds) {
    throw UsageError(
        "--seconds: measures a stretch of time without a command; give one of the two");
  }
  if (command) return;
  const bool recording = request.sensors.source == SourceKind::kReplay;
  if (!request.seconds && !recording) {
    throw UsageError("measure: what? Give -- COMMAND [ARG...], or --seconds S");
  }
  if (!request.seconds && request.repeat + request.warmup > 1) {
    throw UsageError(
        "--repeat, --warmup: a recording is measured as a whole; give the length of a window with "
        "--seconds");
  }
  const bool own_time = recording || request.sensors.source == SourceKind::kSimulated;
  if (own_time && !flags.url.empty()) {
    throw UsageError(
        "--units-url: a server's counter says nothing about a recording or a simulation, which "
        "take no time; give a command, or --units");
  }
}

MeasureRequest request_of(const Flags& flags,
                          const std::optional<std::vector<std::string>>& words) {
  if (!flags.stray.empty()) {
    throw UsageError(fmt::format("measure {0}: put -- before the command: thermoe measure -- {0}",
                                 printable(flags.stray.front(), true)));
  }
  if (words && (words->empty() || words->front().empty())) {
    throw UsageError("measure --: names no command after --");
  }
  MeasureRequest request{
      .sensors = {.nvml_library = flags.sensors.nvml_library, .plant_file = flags.sensors.plant},
      .command = words.value_or(std::vector<std::string>{}),
      .skip = Seconds(flags.skip),
      .repeat = flags.repeat,
      .warmup = flags.warmup,
      .json = flags.json,
      .out = flags.out,
      .quiet = flags.quiet};
  if (flags.seconds > 0.0) request.seconds = Seconds(flags.seconds);
  if (flags.idle > 0.0) request.idle = Seconds(flags.idle);
  request.progress = !flags.quiet && ::isatty(STDERR_FILENO) == 1;
  if (const auto chosen = chosen_source(flags.sensors)) {
    request.sensors.source = chosen->kind;
    request.sensors.replay_file = chosen->replay_file;
  }
  request.sensors.gpus = chosen_gpus(flags.sensors, request.sensors.source);
  choose_units(flags, words.has_value(), request.units);
  check_time(flags, request);
  if (!flags.out.empty()) check_out_file(flags.out);
  return request;
}

void add_window_options(CLI::App& command, Flags& flags) {
  command.add_option("COMMAND", flags.stray, "After --: what to run and measure, with arguments")
      ->type_name("");
  command.add_option("--seconds", flags.seconds, "Without a command: measure so long")
      ->type_name("S")
      ->check(real_number(0.1, kLongest));
  command
      .add_option("--skip", flags.skip,
                  "Begin the window so long after the start (of the command, or of now)")
      ->type_name("S")
      ->check(real_number(0.0, kLongest));
  command.add_option("--repeat", flags.repeat, "Measure so many times and tell the spread")
      ->type_name("N")
      ->check(whole_number(1, kMostRuns));
  command.add_option("--warmup", flags.warmup, "Runs before that are not counted")
      ->type_name("N")
      ->check(whole_number(0, kMostRuns));
  command
      .add_option("--idle", flags.idle,
                  "Measure so long before everything, and tell the energy above that")
      ->type_name("S")
      ->check(real_number(0.1, kLongest));
}

void add_unit_options(CLI::App& command, Flags& flags) {
  command.add_option("--units", flags.units, "Units of work done, for J per unit")
      ->type_name("N")
      ->check(real_number(1e-9));
  command
      .add_option("--units-regex", flags.regex,
                  "Find them in what the command prints: the one group of the last match, as in "
                  "'generated ([0-9]+) tokens' (POSIX extended, with \\d, \\s, \\w, (?:...))")
      ->type_name("RE");
  command
      .add_option("--units-url", flags.url,
                  "Read them at the window's edges from this page of Prometheus metrics (http)")
      ->type_name("URL");
  command
      .add_option("--units-counter", flags.counter,
                  "... as the growth of this counter, such as vllm:generation_tokens_total")
      ->type_name("NAME");
  command
      .add_option("--unit-name", flags.unit_name, "What a unit is called: token, request, image")
      ->type_name("NAME");
}

void add_other_options(CLI::App& command, Flags& flags) {
  add_source_options(command, flags.sensors);
  command.add_flag("--json", flags.json, "JSON on standard output instead of words");
  command.add_option("--out", flags.out, "JSON to this file")->type_name("FILE");
  command.add_flag("--quiet", flags.quiet, "No words on standard error");
}

}  // namespace

std::optional<std::vector<std::string>> cut_measured_command(int& argc, char** argv) {
  if (argc < 2 || std::string_view(argv[1]) != "measure") return std::nullopt;
  char** const end = argv + argc;
  char** const mark = std::find(argv, end, std::string_view("--"));
  if (mark == end) return std::nullopt;
  argc = static_cast<int>(mark - argv);
  return std::vector<std::string>(mark + 1, end);
}

void add_measure_command(CLI::App& app, std::optional<std::vector<std::string>> words) {
  // Shared by the callback, which outlives this function.
  const auto flags = std::make_shared<Flags>();
  CLI::App* command =
      app.add_subcommand("measure", "Joules, watts and degrees of a command or a stretch of time");
  add_window_options(*command, *flags);
  add_unit_options(*command, *flags);
  add_other_options(*command, *flags);
  command->footer(
      "Examples:\n"
      "  thermoe measure -- python train.py --epochs 1\n"
      "  thermoe measure --seconds 60 --unit-name token --units-url http://localhost:8000/metrics "
      "\\\n"
      "      --units-counter vllm:generation_tokens_total      a server under load\n"
      "  thermoe measure --repeat 5 --warmup 1 --units-regex '([0-9]+) tokens' -- ./bench\n"
      "  thermoe measure --gpu 2,3 -- torchrun train.py        two of the GPUs\n"
      "  thermoe measure --source replay trace.csv             a recording, without waiting\n"
      "Words go to standard error, so that the command's output stays clean; Ctrl-C goes to the\n"
      "command, and what was measured is told.\n"
      "Exit codes: the command's (128 + n after signal n; 127 no such command, 126 no program), "
      "or\n"
      "0 done, 1 no sensor of energy or power (nothing is run), 2 bad input.");
  command->callback([flags, words = std::move(words)] {
    const int code = run_measure(request_of(*flags, words));
    if (code != 0) throw CLI::RuntimeError(code);
  });
}

}  // namespace thermoe
