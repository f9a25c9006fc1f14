// SPDX-License-Identifier: Apache-2.0
#include "cli/price_command.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/number_option.h"
#include "cli/price_report.h"
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
  std::optional<int> k{};
  std::optional<int> layers{};
  int k_min = 1;
  double tokens_per_second = 1000.0;
  std::optional<double> power_cap{};
  std::optional<double> step_cap{};
  int levels = 8;
  bool json = false;
};

/// The file's expert layers that fit the model's router. Throws UsageError listing those it has.
const CostTable& expert_table(const KernelCostModel& costs, const PriceOptions& options,
                              int experts, int k) {
  std::vector<std::string> known;
  for (const CostTable& table : costs.tables()) {
    const OpKey& key = table.key();
    if (key.op != "moe_experts") continue;
    known.push_back(to_string(key));
    if (key.shape[0] == experts && key.shape[1] == k &&
        key.dtype == options.dtype.value_or(key.dtype))
      return table;
  }
  throw UsageError(fmt::format(
      "{}: has no expert layer of {} experts, top-{}{}; it has: {}. Profile that shape and add a "
      "moe_experts entry (docs/cost-model.md)",
      options.cost_model, experts, k, options.dtype ? " in " + *options.dtype : "",
      known.empty() ? "none" : fmt::format("{}", fmt::join(known, "; "))));
}

/// Of a step, the mean over samples: padding may have been taken out of some.
double mean_tokens(const std::vector<LogitSample>& samples) {
  double tokens = 0.0;
  for (const LogitSample& sample : samples) tokens += sample.tokens;
  return tokens / static_cast<double>(samples.size());
}

ControllerConfig controller_config(const PriceOptions& options, const RouterLogits& logits,
                                   double tokens) {
  if (options.k_min > logits.spec.k) {
    throw UsageError(fmt::format("--k-min {}: exceeds k = {}; a token takes no more", options.k_min,
                                 logits.spec.k));
  }
  ControllerConfig config{.layers = logits.samples.front().layers,
                          .router = logits.spec,
                          .k_min = options.k_min};
  if (options.tokens_per_second > 0.0) {
    config.step_period = Seconds(tokens / options.tokens_per_second);
  }
  if (options.power_cap) config.targets.power = Watts(*options.power_cap);
  if (options.step_cap) config.targets.step_time = Seconds(*options.step_cap * 1e-3);
  return config;
}

PriceSetting setting_of(const PriceOptions& options, RouterLogits logits) {
  const double tokens = mean_tokens(logits.samples);
  ControllerConfig config = controller_config(options, logits, tokens);
  const KernelCostModel costs = KernelCostModel::load(options.cost_model);
  const CostTable& table = expert_table(costs, options, config.router.experts, config.router.k);
  const OpKey& key = table.key();
  const int model_layers = options.layers.value_or(config.layers);
  const ExpertShape shape{.name = to_string(key),
                          .experts = config.router.experts,
                          .top_k = config.router.k,
                          .d_model = key.shape[2],
                          .d_ff = key.shape[3],
                          .layers = model_layers};
  StepCostFit fit =
      costs.fit_step_cost(shape, {key.dtype}, std::max(1, static_cast<int>(std::lround(tokens))),
                          static_cast<double>(model_layers) / config.layers);
  config.costs = std::move(fit.step);
  config.calibration = std::move(logits.samples);
  return {.logits_file = options.file,
          .softmax_told = logits.told.score.has_value(),
          .padding_tokens = logits.padding_tokens,
          .constant_rows = logits.constant_rows,
          .look_like_scores = logits.look_like_scores,
          .tokens = tokens,
          .cost_model_file = options.cost_model,
          .device = costs.device(),
          .table = table,
          .model_layers = model_layers,
          .fit = fit.reports.front(),
          .config = std::move(config),
          .levels = options.levels};
}

void run(const PriceOptions& options) {
  RouterLogits logits = read_router_logits(options.file, {.k = options.k});
  if (logits.spec.score != ScoreFunction::kSoftmax || logits.spec.groups > 1 ||
      !logits.spec.selection_bias.empty()) {
    throw UsageError(
        fmt::format("{}: its router is no plain softmax, so its logits alone are not priced yet",
                    options.file));
  }
  const PriceSetting setting = setting_of(options, std::move(logits));
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
  CLI::App* command = app.add_subcommand(
      "price",
      "Price a model's router logits: which watts and step times routing could reach, at "
      "what loss, by a cost model");
  command->add_option("LOGITS", options->file, "safetensors file: see thermoe logits --help")
      ->required();
  command->add_option("--cost-model", options->cost_model, "What experts cost (docs/cost-model.md)")
      ->capture_default_str();
  command->add_option("--dtype", options->dtype,
                      "Precision of the experts (default: the cost model's first that fits)");
  command->add_option("--k", options->k, "Experts each token takes (default: the logits file says)")
      ->check(whole_number(1, 1024));
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
      "Examples:\n"
      "  thermoe logits --out runs/logits.safetensors\n"
      "  thermoe price runs/logits.safetensors --layers 48 --power-cap 350\n"
      "Kept mass is the share of each token's own top-k router probability that its experts still\n"
      "hold; -ln of it is the quality loss that the controller bounds. docs/guide.md goes through "
      "it.");
  command->callback([options] { run(*options); });
}

}  // namespace thermoe
