// SPDX-License-Identifier: Apache-2.0
#include "cli/solve_command.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/expert_costs.h"
#include "cli/number_option.h"
#include "cli/router_options.h"
#include "cli/router_report.h"
#include "control/hardware_caps.h"
#include "control/routing_problem.h"
#include "control/shadow_prices.h"
#include "core/errors.h"
#include "core/json_file.h"
#include "cost/kernel_cost_model.h"
#include "moe/router_logits.h"

namespace thermoe {
namespace {

struct SolveOptions {
  std::string logits{};
  std::string costs = "data/h100/kernel_cost_model.json";
  std::optional<std::string> dtype{}, other_dtype{};
  int other_from = 0;  ///< first expert of a layer in the other precision
  StatedRouter given{};
  std::optional<int> layers{};
  int devices = 1;
  double tokens_per_second = 1000.0;
  std::optional<double> power_cap{}, temperature_cap{}, step_cap{};
  std::optional<double> tau{};
  double gap = 1e-5;
  int threads = 1;
};

/// The costs of a mean step of the logits, and the targets. Throws UsageError where the cost model
/// lacks them.
HardwareSetting setting_of(const SolveOptions& o, const RouterLogits& logits,
                           const KernelCostModel& costs) {
  const RouterSpec& router = logits.spec;
  const CostTable* table = expert_table(costs, router, o.dtype);
  if (table == nullptr) {
    throw UsageError(
        fmt::format("--costs {}: has no {} [{}, {}, d_model, d_ff]{}; it has: {}. Profile that "
                    "shape and add an "
                    "entry (docs/cost-model.md)",
                    o.costs, kExpertOp, router.experts, router.k, o.dtype ? " " + *o.dtype : "",
                    fmt::join(expert_ops(costs), "; ")));
  }
  HardwareSetting s{.layers = logits.samples.front().layers, .experts = router.experts};
  const int model_layers = o.layers.value_or(s.layers);
  std::vector<std::string> dtypes = {table->key().dtype};
  if (o.other_dtype) {
    if (o.other_from >= router.experts) {
      throw UsageError(fmt::format("--other-from {}: there are experts 0 to {}", o.other_from,
                                   router.experts - 1));
    }
    dtypes.push_back(*o.other_dtype);
    for (int cell = 0; cell < s.layers * s.experts; ++cell) {
      s.variant.push_back(cell % s.experts >= o.other_from ? 1 : 0);
    }
  }
  if (router.experts % o.devices != 0 || o.devices > 128) {
    throw UsageError(fmt::format("--devices {}: must divide the {} experts, and be 128 at most",
                                 o.devices, router.experts));
  }
  s.devices = o.devices;
  const double tokens = mean_tokens(logits);
  s.costs = costs.step_cost(shape_of(*table, model_layers), dtypes,
                            std::max(1, static_cast<int>(std::lround(tokens))),
                            static_cast<double>(model_layers) / s.layers);
  s.steps = static_cast<int>(logits.samples.size());
  if (o.tokens_per_second > 0.0) s.period = Seconds(tokens / o.tokens_per_second);
  if (costs.has_thermal()) s.thermal = costs.thermal();
  if (o.power_cap) s.targets.power = Watts(*o.power_cap);
  if (o.temperature_cap) s.targets.temperature = Celsius(*o.temperature_cap);
  if (o.step_cap) s.targets.step_time = Seconds(*o.step_cap * 1e-3);
  return s;
}

nlohmann::json to_json(const PredictedStep& step, const HardwareSetting& s) {
  nlohmann::json json = {{"step_ms", 1e3 * step.latency.value},
                         {"devices", nlohmann::json::array()}};
  for (std::size_t d = 0; d < step.energy.size(); ++d) {
    nlohmann::json device = {{"step_j", step.energy[d].value}, {"power_w", step.power[d].value}};
    if (!step.temperature.empty()) device["temperature_c"] = step.temperature[d].value;
    json["devices"].push_back(device);
  }
  if (s.period > Seconds(0.0)) json["keeps_rate"] = step.latency <= s.period;
  return json;
}

nlohmann::json by_layer(const std::vector<double>& values, int layers) {
  nlohmann::json json = nlohmann::json::array();
  const std::size_t experts = values.size() / static_cast<std::size_t>(layers);
  for (std::size_t l = 0; l < static_cast<std::size_t>(layers); ++l) {
    json.push_back(
        std::vector<double>(values.begin() + static_cast<std::ptrdiff_t>(l * experts),
                            values.begin() + static_cast<std::ptrdiff_t>((l + 1) * experts)));
  }
  return json;
}

double sum_of(const std::vector<Joules>& energies) {
  return std::accumulate(energies.begin(), energies.end(), Joules{}).value;
}

nlohmann::json caps_json(const HardwareCaps& caps, const ShadowPrices& s) {
  nlohmann::json json = nlohmann::json::array();
  for (std::size_t r = 0; r < caps.names.size(); ++r) {
    json.push_back({{"resource", caps.names[r].name},
                    {"device", caps.names[r].device},
                    {"cap", caps.resources[r].cap},
                    {"nearest", s.resource_use[r]},
                    {"held", static_cast<bool>(s.held[r])},
                    {"price", s.resource_price[r]}});
  }
  return json;
}

/// The targets with what is out of reach put where routing can hold all of them at once.
nlohmann::json nearest_targets(const HardwareSetting& s, double tokens, const PredictedStep& step) {
  const Targets& targets = s.targets;
  nlohmann::json json = nlohmann::json::object();
  if (targets.power) {
    json["power_w"] = std::max(*targets.power, std::ranges::max(step.power)).value;
  }
  if (targets.temperature) {
    json["temperature_c"] =
        std::max(*targets.temperature, std::ranges::max(step.temperature)).value;
  }
  if (targets.step_time) {
    json["step_ms"] = 1e3 * std::max(*targets.step_time, step.latency).value;
  }
  if (step.latency > s.period && s.period > Seconds(0.0)) {
    json["tokens_per_second"] = tokens / step.latency.value;
  }
  return json;
}

/// Every expert of every layer in work on average?
bool all_active(const std::vector<double>& loads) { return std::ranges::min(loads) >= 1.0; }

void run(const SolveOptions& o) {
  const RouterLogits logits = read_router_logits(o.logits, o.given);
  const KernelCostModel costs = KernelCostModel::load(o.costs);
  HardwareSetting setting = setting_of(o, logits, costs);
  const RoutingProblem routing(logits.samples, logits.spec);
  const double tau = o.tau.value_or(routing.typical_tau());
  const std::vector<double> none(static_cast<std::size_t>(setting.layers) * setting.experts, 0.0);
  const RoutingProblem::Hard plain = routing.hard(none);
  setting.range = all_active(plain.load) ? CurveRange::kProfiled : CurveRange::kFromOrigin;
  set_residuals(setting, plain.load);
  const HardwareCaps caps = hardware_caps(setting);
  PriceProblem problem = routing.problem(tau);
  problem.resources = caps.resources;
  WarmStart start;
  const ShadowPrices s = solve_prices(problem, {.gap = o.gap, .threads = o.threads}, start);

  std::vector<double> loads = s.load;
  for (double& n : loads) n /= setting.steps;
  const PredictedStep soft = predict(setting, loads, CostShape::kEnvelope);
  const PredictedStep curves = predict(setting, loads, CostShape::kAsProfiled);
  const RoutingProblem::Hard hard = routing.hard(s.price);
  nlohmann::json rounded = to_json(predict(setting, hard.load, CostShape::kAsProfiled), setting);
  rounded["kept_mass"] = hard.kept_mass;
  rounded["quality_loss"] = hard.quality_loss;
  nlohmann::json json = {
      {"schema", 1},
      {"logits", o.logits},
      {"cost_model", o.costs},
      {"device", costs.device()},
      {"router", router_json(logits.spec, logits.told, o.given)},
      {"samples", setting.steps},
      {"tokens", mean_tokens(logits)},
      {"step_period_ms", 1e3 * setting.period.value},
      {"tau", tau},
      {"feasible", s.feasible()},
      {"converged", s.converged},
      {"gap", s.gap()},
      {"primal", s.primal / static_cast<double>(s.rows)},
      {"dual", s.dual / static_cast<double>(s.rows)},
      {"sweeps", s.sweeps},
      {"caps", caps_json(caps, s)},
      {"baseline", to_json(predict(setting, plain.load, CostShape::kAsProfiled), setting)},
      {"predicted", to_json(soft, setting)},
      {"envelope",
       {{"range", setting.range == CurveRange::kProfiled ? "profiled" : "from_origin"},
        {"residual_j", sum_of(setting.energy_residual)},
        {"residual_ms", 1e3 * setting.latency_residual.value},
        {"step_j_of_curves_minus_envelope", sum_of(curves.energy) - sum_of(soft.energy)},
        {"step_ms_of_curves_minus_envelope", 1e3 * (curves.latency - soft.latency).value}}},
      {"rounded", rounded},
      {"prices", by_layer(s.price, setting.layers)},
      {"loads", by_layer(loads, setting.layers)},
      {"note", "predicted from the cost model; expert layers and idle only"}};
  if (!s.feasible()) json["nearest_feasible"] = nearest_targets(setting, mean_tokens(logits), soft);
  fmt::print("{}\n", json_text(json, 1));
}

void add_caps(CLI::App& command, SolveOptions& o) {
  command.add_option("--power-cap", o.power_cap, "Watts of each device")
      ->check(real_number(1.0, 1e5));
  command
      .add_option("--temperature-cap", o.temperature_cap,
                  "Degrees C of each device in steady state")
      ->check(real_number(0.0, 200.0));
  command.add_option("--step-cap", o.step_cap, "Step time, ms")->check(real_number(1e-3, 1e6));
  command
      .add_option("--tokens-per-second", o.tokens_per_second,
                  "Rate of all streams together; 0: as fast as steps go, and no power cap")
      ->check(real_number(0.0, 1e9))
      ->capture_default_str();
  command
      .add_option(
          "--tau", o.tau,
          "Softness of picks, in units of utility (default: by how much a token's last pick "
          "and next best differ)")
      ->check(real_number(1e-5, 10.0));
  command.add_option("--gap", o.gap, "Largest gap between primal and dual, a token and layer")
      ->check(real_number(1e-7, 1.0))
      ->capture_default_str();
  command.add_option("--threads", o.threads, "The result has the same bits for any")
      ->check(whole_number(1, 256))
      ->capture_default_str();
}

}  // namespace

void add_solve_command(CLI::App& app) {
  // Shared by the callback, which outlives this function.
  const auto options = std::make_shared<SolveOptions>();
  CLI::App* command = app.add_subcommand(
      "solve",
      "Find the optimal price of each layer's experts under caps on power, temperature and "
      "step time, by a model's router logits, as JSON");
  command->add_option("--logits", options->logits, "safetensors file: see thermoe logits --help")
      ->required();
  command->add_option("--costs", options->costs, "What experts cost (docs/cost-model.md)")
      ->capture_default_str();
  command->add_option("--dtype", options->dtype,
                      "Precision of the experts (default: the cost model's first that fits)");
  CLI::Option* other = command->add_option("--other-dtype", options->other_dtype,
                                           "Precision of some experts of each layer instead");
  command->add_option("--other-from", options->other_from, "Those from this number on")
      ->check(whole_number(0, 1023))
      ->needs(other);
  add_router_options(*command, options->given);
  command
      ->add_option("--layers", options->layers,
                   "MoE layers of the model, if the logits are of some of them only")
      ->check(whole_number(1, 100000));
  command
      ->add_option("--devices", options->devices,
                   "Experts are spread over so many, in equal runs; a layer waits for the slowest")
      ->check(whole_number(1, 128))
      ->capture_default_str();
  add_caps(*command, *options);
  command->footer(
      "Prices are biases of selection, to be subtracted from the scores' share of a token's "
      "top-k.\n"
      "Experts that all cost the same have equal prices, which move nothing: thermoe price is for\n"
      "those. Example:\n"
      "  thermoe solve --logits runs/logits.safetensors --costs data/h100/kernel_cost_model.json "
      "\\\n"
      "    --k 8 --dtype bf16 --other-dtype int4 --other-from 64 --power-cap 350\n"
      "docs/solve.md explains the output.");
  command->callback([options] { run(*options); });
}

}  // namespace thermoe
