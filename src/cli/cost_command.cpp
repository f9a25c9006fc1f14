// SPDX-License-Identifier: Apache-2.0
#include "cli/cost_command.h"

#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "cli/number_option.h"
#include "core/json_file.h"
#include "core/terminal_text.h"
#include "cost/cost_report.h"
#include "cost/kernel_cost_model.h"

namespace thermoe {
namespace {

struct CostOptions {
  std::string file{};
  bool json = false;
  bool rows = false;
  bool strict = false;
  double threshold_percent = 10.0;
};

void print(const nlohmann::json& json) { fmt::print("{}\n", json_text(json, 2)); }

void show(const CostOptions& options) {
  const KernelCostModel model = KernelCostModel::load(options.file);
  if (options.json) return print(show_json(model));
  fmt::print("{}", printable_lines(show_text(model, options.rows)));
}

void check(const CostOptions& options) {
  const KernelCostModel model = KernelCostModel::load(options.file);
  const double threshold = options.threshold_percent / 100.0;
  const CheckResult result = check_text(model, threshold);
  if (options.json) {
    print(check_json(model, threshold));
  } else {
    fmt::print("{}", printable_lines(result.text));
  }
  if (options.strict && !result.within) throw CLI::RuntimeError(1);
}

void add_file(CLI::App& command, CostOptions& options) {
  command
      .add_option("FILE", options.file, "A cost model, such as data/h100/kernel_cost_model.json")
      ->required();
  command.add_flag("--json", options.json, "Print JSON instead of text");
}

}  // namespace

void add_cost_command(CLI::App& app) {
  // Shared by the callbacks, which outlive this function.
  const auto options = std::make_shared<CostOptions>();
  CLI::App* cost = app.add_subcommand(
      "cost", "Inspect a cost model: what each kernel costs in time, energy and heat");
  cost->require_subcommand(1);

  CLI::App* show_command =
      cost->add_subcommand("show",
                           "Print what a cost model knows: device, tables with the ranges that "
                           "were profiled, and for expert "
                           "layers the cost of a layer, of each active expert and of each further "
                           "token, with the error of "
                           "that fit");
  add_file(*show_command, *options);
  show_command->add_flag("--rows", options->rows, "Also print every profiled row (text only)");
  show_command->callback([options] { show(*options); });

  CLI::App* check_command = cost->add_subcommand(
      "check",
      "Load a cost model, refusing bad data (exit code 2), and measure how far its tables are from "
      "convex and nondecreasing, which the router's optimisation assumes");
  add_file(*check_command, *options);
  check_command
      ->add_option("--threshold", options->threshold_percent,
                   "Warn beyond this distance from the convex envelope, in percent of the row")
      ->check(real_number(0.0, 100.0))
      ->capture_default_str();
  check_command->add_flag("--strict", options->strict,
                          "Exit with 1 if any table exceeds the threshold");
  check_command->callback([options] { check(*options); });
}

}  // namespace thermoe
