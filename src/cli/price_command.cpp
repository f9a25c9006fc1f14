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

#include "control/calibration.h"
#include "control/price_options.h"
#include "core/errors.h"
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

struct Setting {
  OpKey table{};
  std::string device{};
  int model_layers = 0;
  FitReport fit{};  ///< how firmly the costs at this batch are known
  ControllerConfig config{};
};

Setting setting_of(const PriceOptions& options, RouterLogits logits) {
  const LogitSample& first = logits.samples.front();
  const KernelCostModel costs = KernelCostModel::load(options.cost_model);
  const OpKey key = expert_table(costs, options, first.experts, logits.k).key();
  const int model_layers = options.layers.value_or(first.layers);
  const ExpertShape shape{.name = to_string(key),
                          .experts = first.experts,
                          .top_k = logits.k,
                          .d_model = key.shape[2],
                          .d_ff = key.shape[3],
                          .layers = model_layers};
  if (options.k_min > logits.k) {
    throw UsageError(
        fmt::format("--k-min {}: exceeds k = {}; a token takes no more", options.k_min, logits.k));
  }
  Setting setting{.table = key, .device = costs.device(), .model_layers = model_layers};
  ControllerConfig& config = setting.config;
  config.layers = first.layers;
  config.experts = first.experts;
  config.k = logits.k;
  config.k_min = options.k_min;
  if (options.tokens_per_second > 0.0) {
    config.step_period = Seconds(first.tokens / options.tokens_per_second);
  }
  if (options.power_cap) config.targets.power = Watts(*options.power_cap);
  if (options.step_cap) config.targets.step_time = Seconds(*options.step_cap * 1e-3);
  StepCostFit fit = costs.fit_step_cost(shape, {key.dtype}, first.tokens,
                                        static_cast<double>(model_layers) / first.layers);
  setting.fit = fit.reports.front();
  config.costs = std::move(fit.step);
  config.calibration = std::move(logits.samples);
  return setting;
}

double joules_per_token(const RoutingOption& o, int tokens) {
  return o.power.value * o.period.value / tokens;
}

/// Q of docs/theory.md: kept mass may exceed 1 by rounding.
double quality_loss(const RoutingOption& o) { return std::max(0.0, -std::log(o.demand.kept_mass)); }

std::string row(const std::string& name, const RoutingOption& o, int tokens) {
  return fmt::format("{:<16} {:>7.1f} {:>8.2f} {:>9.4f} {:>8.2f} {:>9.0f} {:>8.3f} {:>7.0f}\n",
                     name, o.demand.active, 100.0 * o.demand.kept_mass, quality_loss(o),
                     1e3 * o.demand.cost.latency.value, tokens / o.period.value,
                     joules_per_token(o, tokens), o.power.value);
}

nlohmann::json to_json(const RoutingOption& o, int tokens) {
  return {{"lambda", o.lambda},
          {"k", o.k},
          {"active_experts", o.demand.active},
          {"kept_mass", o.demand.kept_mass},
          {"step_ms", 1e3 * o.demand.cost.latency.value},
          {"tokens_per_second", tokens / o.period.value},
          {"joules_per_token", joules_per_token(o, tokens)},
          {"power_w", o.power.value}};
}

std::string wording(const Targets& targets) {
  std::vector<std::string> caps;
  if (targets.power) caps.push_back(fmt::format("{:.0f} W", targets.power->value));
  if (targets.step_time) caps.push_back(fmt::format("{:.2f} ms", 1e3 * targets.step_time->value));
  return fmt::format("{}", fmt::join(caps, " and "));
}

void print_text(const PriceOptions& options, const Setting& s) {
  const LogitSample& first = s.config.calibration.front();
  fmt::print(
      "Logits: {}: {} samples of {} layers, {} tokens, {} experts; top-{}\n"
      "Costs:  {} ({}): {}, {} layers; {}\n"
      "        {} at {} tokens; the fit is off by {:.1f} % of latency, {:.1f} % of energy (rms)\n"
      "Predicted from the cost model (expert layers and idle only), not measured.\n\n",
      options.file, s.config.calibration.size(), first.layers, first.tokens, first.experts,
      s.config.k, options.cost_model, s.device, to_string(s.table), s.model_layers,
      s.config.step_period > Seconds(0)
          ? fmt::format("a step each {:.2f} ms", 1e3 * s.config.step_period.value)
          : std::string("saturated: each step starts when the last ends"),
      to_string(s.fit.basis), first.tokens, 100.0 * s.fit.latency_rms, 100.0 * s.fit.energy_rms);
  fmt::print(
      "                 experts     kept      loss     step\n"
      "price             active   mass %  -ln kept       ms  tokens/s  J/token       W\n"
      "{:-<79}\n",
      "");
  for (const RoutingOption& o : price_options(s.config, options.levels)) {
    fmt::print("{}", row(fmt::format("lambda {:.4f}", o.lambda), o, first.tokens));
  }
  fmt::print("Instead, fewer experts a token (what pricing competes with):\n");
  for (const RoutingOption& o : fewer_expert_options(s.config)) {
    if (o.k == s.config.k) continue;
    fmt::print("{}", row(fmt::format("top-{}", o.k), o, first.tokens));
  }
  if (!s.config.targets.any()) return;
  const Calibration chosen = calibrate(s.config);
  fmt::print(
      "\n{} {}{}\n{}", chosen.reached ? "Least loss that holds" : "Out of reach of routing:",
      wording(s.config.targets),
      chosen.reached ? fmt::format(" (k_min {}):", chosen.parameters.k_min) : "; the floor is:",
      row(fmt::format("lambda {:.4f}", chosen.lambda),
          option_at(s.config, chosen.lambda, chosen.demand), first.tokens));
}

void print_json(const PriceOptions& options, const Setting& s) {
  const int tokens = s.config.calibration.front().tokens;
  nlohmann::json json = {{"schema", 1},
                         {"logits", options.file},
                         {"samples", s.config.calibration.size()},
                         {"tokens", tokens},
                         {"cost_model", options.cost_model},
                         {"device", s.device},
                         {"table", to_string(s.table)},
                         {"model_layers", s.model_layers},
                         {"step_period_ms", 1e3 * s.config.step_period.value},
                         {"costs_basis", to_string(s.fit.basis)},
                         {"latency_fit_rms", s.fit.latency_rms},
                         {"energy_fit_rms", s.fit.energy_rms},
                         {"note", "predicted from the cost model; expert layers and idle only"},
                         {"pricing", nlohmann::json::array()},
                         {"fewer_experts", nlohmann::json::array()}};
  for (const RoutingOption& o : price_options(s.config, options.levels))
    json["pricing"].push_back(to_json(o, tokens));
  for (const RoutingOption& o : fewer_expert_options(s.config))
    json["fewer_experts"].push_back(to_json(o, tokens));
  if (s.config.targets.any()) {
    const Calibration chosen = calibrate(s.config);
    json["chosen"] = to_json(option_at(s.config, chosen.lambda, chosen.demand), tokens);
    json["chosen"]["k_min"] = chosen.parameters.k_min;
    json["chosen"]["reached"] = chosen.reached;
  }
  fmt::print("{}\n", json.dump(2));
}

void run(const PriceOptions& options) {
  const Setting setting = setting_of(options, read_router_logits(options.file, options.k));
  options.json ? print_json(options, setting) : print_text(options, setting);
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
  command->add_option("--k", options->k, "Experts a token takes (default: the logits file says)")
      ->check(CLI::Range(1, 1024));
  command->add_option("--k-min", options->k_min, "Each token's best experts that stay active")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command
      ->add_option("--layers", options->layers,
                   "MoE layers of the model, if the logits are of some of them only")
      ->check(CLI::Range(1, 100000));
  command
      ->add_option("--tokens-per-second", options->tokens_per_second,
                   "Rate of all streams together; 0: saturated")
      ->check(CLI::Range(0.0, 1e9))
      ->capture_default_str();
  command->add_option("--power-cap", options->power_cap, "Also find the least loss under this, W")
      ->check(CLI::Range(1.0, 1e5));
  command->add_option("--step-cap", options->step_cap, "Also find the least loss under this, ms")
      ->check(CLI::Range(1e-3, 1e6));
  command->add_option("--levels", options->levels, "Prices to show")
      ->check(CLI::Range(1, 1000))
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
