// SPDX-License-Identifier: Apache-2.0
#include "cli/report_command.h"

#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/version.h"
#include "core/errors.h"
#include "core/terminal_text.h"
#include "report/html_report.h"

namespace thermoe {
namespace {

struct ReportOptions {
  std::vector<std::string> folders{};
  std::optional<std::string> out{};
};

void report(const ReportOptions& options) {
  if (options.folders.size() > 2) {
    throw UsageError(fmt::format(
        "{} folders given; a report shows one run, or two side by side: name one or two",
        options.folders.size()));
  }
  const std::string path = options.out.value_or(default_report_path(options.folders));
  write_html_report(options.folders, path, kVersion);
  fmt::print("{}\n", printable(path, true));
}

}  // namespace

void add_report_command(CLI::App& app) {
  // Shared by the callback, which outlives this function.
  const auto options = std::make_shared<ReportOptions>();
  CLI::App* command = app.add_subcommand(
      "report", "Write a page with the plots and tables of a run, or of two side by side");
  command
      ->add_option("DIR", options->folders,
                   "Folder that `thermoe run` wrote; a second one is compared with the first")
      ->required();
  command->add_option(
      "--out", options->out,
      "File to write (default: DIR/report.html; for two runs, comparison.html in the "
      "first)");
  command->footer(
      "Examples:\n"
      "  thermoe report runs/demo-1\n"
      "  thermoe report runs/demo-1 runs/demo-2 --out demo-1-against-2.html\n"
      "The page is one file that opens offline: it holds its data and scripts and asks the network "
      "for nothing.\n"
      "A run that was killed has no summary.json; its report says so and shows what it measured "
      "until then.");
  command->callback([options] { report(*options); });
}

}  // namespace thermoe
