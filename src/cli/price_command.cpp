// SPDX-License-Identifier: Apache-2.0
#include "cli/price_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/expert_costs.h"
#include "cli/number_option.h"
#include "cli/price_report.h"
#include "cli/router_options.h"
#include "core/errors.h"
#include "core/json_file.h"
#include "cost/kernel_cost_model.h"
#include "moe/router_logits.h"

namespace thermoe {
namespace {

struct PriceOptions {
  std::string file{};
  std::string cost_model = "data/h100/kernel_cost_model.json";
  std::optional<std::string> dtype{};
  std::optional<std::string> engine{};
  std::optional<double> context{};
  StatedRouter given{};
  std::optional<int> layers{};
  int k_min = 1;
  double tokens_per_second = 1000.0;
  std::optional<double> power_cap{};
  std::optional<double> step_cap{};
  int levels = 8;
  bool json = false;
};

ControllerConfig controller_config(const PriceOptions& options, RouterLogits logits,
                                   double tokens) {
  if (options.k_min > logits.spec.k) {
    throw UsageError(fmt::format("--k-min {}: exceeds k = {}; a token takes no more", options.k_min,
                                 logits.spec.k));
  }
  ControllerConfig config{.layers = logits.samples.front().layers,
                          .router = std::move(logits.spec),
                          .k_min = options.k_min};
  if (options.tokens_per_second > 0.0) {
    config.step_period = Seconds(tokens / options.tokens_per_second);
  }
  if (options.power_cap) config.targets.power = Watts(*options.power_cap);
  if (options.step_cap) config.targets.step_time = Seconds(*options.step_cap * 1e-3);
  config.calibration = std::move(logits.samples);
  return config;
}

/// Costs of the setting's batch where the cost model has these experts; else what it lacks, and
/// experts that cost nothing, all alike. Throws UsageError where a target needs costs.
void add_costs(const PriceOptions& options, PriceSetting& setting) {
  const KernelCostModel costs = KernelCostModel::load(options.cost_model);
  ControllerConfig& config = setting.config;
  setting.cost_model_file = options.cost_model;
  setting.device = costs.device();
  const CostTable* table = expert_table(costs, config.router, options.dtype);
  if (table == nullptr) {
    setting.missing_op =
        fmt::format("{} [{}, {}, d_model, d_ff]{}", kExpertOp, config.router.experts,
                    config.router.k, options.dtype ? " " + *options.dtype : "");
    setting.other_ops = expert_ops(costs);
    config.costs.variants = {CostCurve{}};
    if (config.targets.any()) {
      throw UsageError(fmt::format("{}: {} {}. {}",
                                   options.power_cap ? "--power-cap" : "--step-cap",
                                   options.cost_model, missing_costs(setting), kProfileIt));
    }
    return;
  }
  const int model_layers = options.layers.value_or(config.layers);
  const ExpertShape shape = shape_of(*table, model_layers);
  StepCostFit fit = costs.fit_step_cost(shape, {table->key().dtype},
                                        std::max(1, static_cast<int>(std::lround(setting.tokens))),
                                        static_cast<double>(model_layers) / config.layers);
  WholeStep step = whole_step(costs, {.shape = shape,
                                      .batch = std::max(1.0, setting.tokens),
                                      .engine = options.engine,
                                      .context = options.context});
  config.costs = with_other(std::move(fit.step), step, model_layers);
  setting.costs = {.table = *table,
                   .fit = fit.reports.front(),
                   .model_layers = model_layers,
                   .step = std::move(step)};
}

PriceSetting setting_of(const PriceOptions& options) {
  RouterLogits logits = read_router_logits(options.file, options.given);
  PriceSetting setting{.logits_file = options.file,
                       .told = logits.told,
                       .given = options.given,
                       .padding_tokens = logits.padding_tokens,
                       .constant_rows = logits.constant_rows,
                       .look_like_scores = logits.look_like_scores,
                       .tokens = mean_tokens(logits),
                       .levels = options.levels};
  setting.config = controller_config(options, std::move(logits), setting.tokens);
  add_costs(options, setting);
  return setting;
}

void run(const PriceOptions& options) {
  const PriceSetting setting = setting_of(options);
  if (options.json) {
    fmt::print("{}\n", json_text(price_json(setting), 2));
  } else {
    fmt::print("{}", price_text(setting));
  }
}

}  // namespace

void add_price_command(CLI::App& app) {
  // Shared by the callback, which outlives this function.
  const auto options = std::make_shared<PriceOptions>();
  CLI::App* command = app.add_subcommand("price",
                                         "Price a model's router logits: how few experts routing "
                                         "could do with, at what loss, and which "
                                         "watts and step times that is by a cost model");
  command->add_option("LOGITS", options->file, "safetensors file: see thermoe logits --help")
      ->required();
  command->add_option("--cost-model", options->cost_model, "What experts cost (docs/cost-model.md)")
      ->capture_default_str();
  command->add_option("--dtype", options->dtype,
                      "Precision of the experts (default: the cost model's first that fits)");
  command->add_option(
      "--engine", options->engine,
      "Whose steps: adds what the cost model knows of them beside the expert layers "
      "(default: its only engine)");
  command
      ->add_option("--context", options->context,
                   "Mean tokens of context, where those costs depend on it (default: the least)")
      ->check(real_number(0.0, 1e9));
  add_router_options(*command, options->given);
  command->add_option("--k-min", options->k_min, "Each token's best experts that stay active")
      ->check(whole_number(1, 1024))
      ->capture_default_str();
  command
      ->add_option("--layers", options->layers,
                   "MoE layers of the model, if the logits are of some of them only")
      ->check(whole_number(1, 100000));
  command
      ->add_option("--tokens-per-second", options->tokens_per_second,
                   "Rate of all streams together; 0: saturated")
      ->check(real_number(0.0, 1e9))
      ->capture_default_str();
  command->add_option("--power-cap", options->power_cap, "Also find the least loss under this, W")
      ->check(real_number(1.0, 1e5));
  command->add_option("--step-cap", options->step_cap, "Also find the least loss under this, ms")
      ->check(real_number(1e-3, 1e6));
  command->add_option("--levels", options->levels, "Prices to show")
      ->check(whole_number(1, 1000))
      ->capture_default_str();
  command->add_flag("--json", options->json, "Print JSON instead of tables");
  command->footer(
      "The logits file says how its model routes (docs/guide.md); flags win over it. Where the "
      "cost\n"
      "model lacks the model's expert layers, distinct experts and loss are printed all the same.\n"
      "Examples:\n"
      "  thermoe logits --out runs/logits.safetensors\n"
      "  thermoe price runs/logits.safetensors --layers 48 --power-cap 350\n"
      "Kept mass is the share of the scores of each token's own picks that its experts still "
      "hold;\n"
      "the loss is the mean of -ln of it over tokens and layers, which the controller bounds.\n"
      "docs/guide.md goes through it.");
  command->callback([options] { run(*options); });
}

}  // namespace thermoe
