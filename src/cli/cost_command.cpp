// SPDX-License-Identifier: Apache-2.0
#include "cli/cost_command.h"

#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <system_error>

#include "cli/cost_at_command.h"
#include "cli/number_option.h"
#include "cli/replay_command.h"
#include "cli/version.h"
#include "core/atomic_file.h"
#include "core/errors.h"
#include "core/json_file.h"
#include "core/terminal_text.h"
#include "cost/cost_plot.h"
#include "cost/cost_report.h"
#include "cost/kernel_cost_model.h"
#include "cost/other_fit.h"
#include "report/cost_page.h"

namespace thermoe {
namespace {

struct CostOptions {
  std::string file{};
  bool json = false;
  bool rows = false;
  bool strict = false;
  double threshold_percent = 10.0;
  OtherFitRequest fit{};
  std::string out{};
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

void fit_step(const CostOptions& options) {
  const KernelCostModel model = KernelCostModel::load(options.file);
  const OtherFit fit = fit_other_costs(read_step_rows(options.fit.rows_file), model, options.fit);
  if (!options.out.empty()) write_other_costs(fit.other, options.file, options.out);
  if (options.json) return print(fit_json(fit));
  fmt::print("{}", printable_lines(fit_text(fit)));
  fmt::print("{}\n", options.out.empty() ? std::string("Not written: give --out FILE.")
                                         : "Written to " + printable(options.out, true) + ".");
}

void plot(const CostOptions& options) {
  const KernelCostModel model = KernelCostModel::load(options.file);
  const std::string path =
      !options.out.empty()
          ? options.out
          : std::filesystem::path(options.file).filename().replace_extension("html").string();
  std::error_code missing;
  if (std::filesystem::equivalent(path, options.file, missing)) {
    throw UsageError(fmt::format("--out {}: is the cost model itself; name an HTML file", path));
  }
  write_file_atomically(path,
                        cost_page(plot_json(model, options.threshold_percent / 100.0), kVersion));
  fmt::print("Written to {}.\n", printable(path, true));
}

void add_file(CLI::App& command, CostOptions& options) {
  command
      .add_option("FILE", options.file, "A cost model, such as data/h100/kernel_cost_model.json")
      ->required();
  command.add_flag("--json", options.json, "Print JSON instead of text");
}

void add_fit_step(CLI::App& cost, const std::shared_ptr<CostOptions>& options) {
  CLI::App* command = cost.add_subcommand(
      "fit-step",
      "Fit what an engine's decode steps cost beside their expert layers, from measured steps at "
      "several numbers of active experts");
  command
      ->add_option("ROWS", options->fit.rows_file,
                   "CSV or JSON: batch, active_experts, step_ms, and where known step_j, "
                   "graph_size, context")
      ->required();
  command->add_option("--cost-model", options->file, "Whose tables know the expert layers")
      ->required();
  command->add_option("--model", options->fit.model, "Its name in the cost model's \"models\"")
      ->required();
  command->add_option("--engine", options->fit.engine, "Who ran the steps: name and version")
      ->required();
  command->add_option("--dtype", options->fit.dtype, "Precision of the experts")
      ->capture_default_str();
  command->add_option("--out", options->out,
                      "Write the cost model with them (schema 2); may be the same file");
  command->add_flag("--json", options->json, "Print JSON instead of text");
  command->footer(
      "docs/cost-model.md, \"Costs of the whole step\", has the columns. Example:\n"
      "  thermoe cost fit-step data/h100/vllm_steps.csv --cost-model "
      "data/h100/kernel_cost_model.json \\\n"
      "      --model Qwen3-30B-A3B --engine \"vLLM 0.25.1\" --out costs.json");
  command->callback([options] { fit_step(*options); });
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

  CLI::App* plot_command =
      cost->add_subcommand("plot",
                           "Draw a cost model's tables with their convex envelopes, fits and what "
                           "those leave over, as one HTML file that opens offline");
  plot_command->add_option("FILE", options->file, "A cost model")->required();
  plot_command->add_option("--out", options->out,
                           "The HTML file (default: the model's name with .html, here)");
  plot_command
      ->add_option("--threshold", options->threshold_percent,
                   "Name tables beyond this distance from the convex envelope, in percent")
      ->check(real_number(0.0, 100.0))
      ->capture_default_str();
  plot_command->callback([options] { plot(*options); });

  add_cost_at_command(*cost);
  add_fit_step(*cost, options);
  add_replay_command(*cost);
}

}  // namespace thermoe
