// SPDX-License-Identifier: Apache-2.0
#include "cli/parse_command.h"

#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <string>
#include <string_view>

#include "cli/number_option.h"
#include "core/say.h"
#include "core/terminal_text.h"
#include "profile/cost_merge.h"
#include "profile/parse_profiler_output.h"
#include "profile/parse_report.h"

namespace thermoe {
namespace {

struct Flags {
  std::string file{};
  ParseOptions options{};
  bool json = false;
  int rows = 20;
  std::string cost_model{};
};

void run(const Flags& flags) {
  ParseOptions options = flags.options;
  options.executions = !flags.cost_model.empty();
  const ParsedProfile profile = parse_profiler_output(flags.file, options);
  if (!flags.cost_model.empty()) {
    say_merged(merge_costs(profile, flags.cost_model), flags.cost_model);
  }
  if (flags.json) {
    write_json(profile, [](std::string_view text) { fmt::print("{}", text); });
  } else {
    fmt::print("{}", printable_lines(to_text(profile, static_cast<std::size_t>(flags.rows))));
  }
}

}  // namespace

void say_merged(const MergedCosts& merged, const std::string& cost_model) {
  std::string text =
      fmt::format("{}: {} row{} of {} table{} merged in\n", cost_model, merged.rows,
                  merged.rows == 1 ? "" : "s", merged.tables, merged.tables == 1 ? "" : "s");
  for (const std::string& range : merged.left_out) text += fmt::format("  left out: {}\n", range);
  say(printable_lines(text));
}

void add_parse_command(CLI::App& app) {
  // Shared by the callback, which outlives this function.
  const auto flags = std::make_shared<Flags>();
  CLI::App* command = app.add_subcommand(
      "parse", "Read a profiler's output: time, energy and launches of each kernel, by op");
  command
      ->add_option("FILE", flags->file,
                   "nsys SQLite export, ncu CSV, or torch.profiler trace (.json, .json.gz)")
      ->required();
  command->add_flag("--json", flags->json, "Print JSON instead of tables (docs/parse.md)");
  command->add_option("--domain", flags->options.domain,
                      "NVTX domain whose ranges name ops (default: thermoe where the file has it, "
                      "else 'default'); of a trace: user_annotation or cpu_op");
  command->add_option("--samples", flags->options.samples,
                      "Power and temperature recorded meanwhile: thermoe monitor --csv > FILE");
  command->add_option("--cost-model", flags->cost_model,
                      "Also merge what its ranges measured into this cost model (docs/parse.md)");
  command->add_option("--rows", flags->rows, "Rows of each table")
      ->check(whole_number(1, 1000000))
      ->capture_default_str();
  command->footer(
      "Make such files:\n"
      "  nsys profile --trace=cuda,nvtx --cuda-graph-trace=node -o REPORT COMMAND\n"
      "  nsys export --type sqlite -o REPORT.sqlite REPORT.nsys-rep\n"
      "  LC_ALL=C ncu --nvtx --csv --page raw --print-units base COMMAND > REPORT.csv\n"
      "  prof.export_chrome_trace(\"trace.json.gz\")          # torch.profiler\n"
      "A kernel belongs to the op whose range is the innermost around its launch.");
  command->callback([flags] { run(*flags); });
}

}  // namespace thermoe
