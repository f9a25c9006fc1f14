// SPDX-License-Identifier: Apache-2.0
#include "cli/price_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/router_report.h"
#include "control/calibration.h"
#include "control/price_options.h"
#include "core/terminal_text.h"

namespace thermoe {
namespace {

double joules_per_token(const RoutingOption& o, double tokens) {
  return o.power.value * o.period.value / tokens;
}

/// How the table knows a layer at this option's load, and the fit that stands for it.
Basis basis_of(const PriceSetting& s, const RoutingOption& o) {
  const Basis layers =
      weaker(s.costs->fit.basis, s.costs->table.at(s.tokens, o.demand.active).basis);
  return s.costs->step.other ? weaker(layers, s.costs->step.other->basis) : layers;
}

std::string row(const PriceSetting& s, const std::string& name, const RoutingOption& o) {
  std::string text = fmt::format("{:<16} {:>7.1f} {:>8.2f} {:>9.4f}", name, o.demand.active,
                                 100.0 * o.demand.kept_mass, o.demand.quality_loss);
  if (s.costs) {
    text += fmt::format(" {:>8.2f} {:>9.0f} {:>8.3f} {:>7.0f}{}", 1e3 * o.demand.cost.latency.value,
                        s.tokens / o.period.value, joules_per_token(o, s.tokens), o.power.value,
                        basis_of(s, o) == Basis::kExtrapolated ? " *" : "");
  }
  return text + "\n";
}

nlohmann::json to_json(const PriceSetting& s, const RoutingOption& o) {
  nlohmann::json json = {{"lambda", o.lambda},
                         {"k", o.k},
                         {"active_experts", o.demand.active},
                         {"kept_mass", o.demand.kept_mass},
                         {"quality_loss", o.demand.quality_loss}};
  if (o.keep > 0) json["keep"] = o.keep;
  if (!s.costs) return json;
  json["step_ms"] = 1e3 * o.demand.cost.latency.value;
  json["tokens_per_second"] = s.tokens / o.period.value;
  json["joules_per_token"] = joules_per_token(o, s.tokens);
  json["power_w"] = o.power.value;
  json["basis"] = to_string(basis_of(s, o));
  return json;
}

nlohmann::json whole_where_it_is(double number) {
  const auto whole = static_cast<std::int64_t>(number);
  return static_cast<double>(whole) == number ? nlohmann::json(whole) : nlohmann::json(number);
}

struct Range {
  double low = 0.0;
  double high = 0.0;
};

Range tokens_of(const CostTable& table) {
  const std::vector<double> counts = table.token_counts();
  return {counts.front(), counts.back()};
}

Range active_experts_of(const CostTable& table) {
  const auto [low, high] = std::ranges::minmax(
      table.rows(), {}, [](const CostRow& row) { return row.active_experts.value_or(0.0); });
  return {low.active_experts.value_or(0.0), high.active_experts.value_or(0.0)};
}

std::string range_words(const CostTable& table) {
  const Range tokens = tokens_of(table), active = active_experts_of(table);
  return fmt::format("{:g} to {:g} tokens, {:g} to {:g} active experts", tokens.low, tokens.high,
                     active.low, active.high);
}

std::string wording(const Targets& targets) {
  std::vector<std::string> caps;
  if (targets.power) caps.push_back(fmt::format("{:.0f} W", targets.power->value));
  if (targets.step_time) caps.push_back(fmt::format("{:.2f} ms", 1e3 * targets.step_time->value));
  return fmt::format("{}", fmt::join(caps, " and "));
}

std::string logits_text(const PriceSetting& s) {
  const LogitSample& first = s.config.calibration.front();
  std::string text =
      fmt::format("Logits: {}: {} samples of {} layers, {:g} tokens{}, {} experts; top-{}\n{}",
                  printable(s.logits_file, true), s.config.calibration.size(), first.layers,
                  s.tokens, s.padding_tokens > 0 ? " on average" : "", first.experts,
                  s.config.router.k, router_text(s.config.router, s.told, s.given));
  if (s.padding_tokens > 0) {
    text += fmt::format(
        "        {} tokens have constant rows in every layer: padding, which was taken out\n",
        s.padding_tokens);
  }
  if (s.constant_rows > 0) {
    text += fmt::format("        {} rows of other tokens are constant; they count as any row\n",
                        s.constant_rows);
  }
  if (s.look_like_scores) {
    text +=
        "Note: every value lies between 0 and 1: these look like scores (of a sigmoid?), not "
        "logits.\n      If they are, write the logits; the prices below are wrong.\n";
  }
  return text;
}

std::string costs_text(const PriceSetting& s) {
  std::string text = fmt::format("Costs:  {} ({}): ", printable(s.cost_model_file, true),
                                 printable(s.device, true));
  if (!s.costs) {
    return text + missing_costs(s) +
           fmt::format("\n        Without it no watts, step times or joules. {}\n", kProfileIt) +
           "Counted on the samples, not measured.\n\n";
  }
  const PriceCosts& costs = *s.costs;
  text += fmt::format(
      "{}, {} layers; {}\n"
      "        table of {}; {} at {:g} tokens\n"
      "        the fit is off by {:.1f} % of latency, {:.1f} % of energy (rms)\n",
      to_string(costs.table.key()), costs.model_layers,
      s.config.step_period > Seconds(0)
          ? fmt::format("a step each {:.2f} ms", 1e3 * s.config.step_period.value)
          : std::string("saturated: each step starts when the last ends"),
      range_words(costs.table), to_string(costs.fit.basis), s.tokens, 100.0 * costs.fit.latency_rms,
      100.0 * costs.fit.energy_rms);
  const Range tokens = tokens_of(costs.table);
  if (s.tokens < tokens.low || s.tokens > tokens.high) {
    text += fmt::format(
        "Note: a step has {:g} tokens, the table {:g} to {:g}: all costs here are extrapolated.\n",
        s.tokens, tokens.low, tokens.high);
  }
  text += fmt::format("Predicted from the cost model, not measured: idle and {}.\n",
                      printable(coverage(costs.step), true));
  if (!costs.step.other) {
    text += fmt::format("        {}\n", printable(costs.step.experts_only_since, true));
  }
  return text + "\n";
}

std::string chosen_text(const PriceSetting& s) {
  const Calibration chosen = calibrate(s.config);
  return fmt::format(
      "\n{} {}{}\n{}", chosen.reached ? "Least loss that holds" : "Out of reach of routing:",
      wording(s.config.targets),
      chosen.reached ? fmt::format(" (k_min {}):", chosen.parameters.k_min) : "; the floor is:",
      row(s, fmt::format("lambda {:.4f}", chosen.lambda),
          option_at(s.config, chosen.lambda, chosen.demand)));
}

nlohmann::json costs_json(const PriceSetting& s) {
  const CostTable& table = s.costs->table;
  const FitReport& fit = s.costs->fit;
  const Range tokens = tokens_of(table), active = active_experts_of(table);
  nlohmann::json other = nullptr;
  if (const auto& cost = s.costs->step.other) {
    other = {{"of", s.costs->step.name},
             {"latency_ms", 1e3 * cost->latency.value},
             {"basis", to_string(cost->basis)}};
    if (cost->energy) other["energy_j"] = cost->energy->value;
    if (s.costs->step.context) other["context"] = *s.costs->step.context;
  }
  return {{"table", to_string(table.key())},
          {"table_tokens", {{"min", tokens.low}, {"max", tokens.high}}},
          {"table_active_experts", {{"min", active.low}, {"max", active.high}}},
          {"model_layers", s.costs->model_layers},
          {"step_period_ms", 1e3 * s.config.step_period.value},
          {"costs_basis", to_string(fit.basis)},
          {"latency_fit_rms", fit.latency_rms},
          {"energy_fit_rms", fit.energy_rms},
          {"other", std::move(other)},
          {"expert_layers_only_since", s.costs->step.experts_only_since},
          {"note", "predicted from the cost model: idle and " + coverage(s.costs->step)}};
}

}  // namespace

std::string missing_costs(const PriceSetting& s) {
  return fmt::format(
      "has no {}; it has: {}", s.missing_op,
      s.other_ops.empty() ? "none" : fmt::format("{}", fmt::join(s.other_ops, "; ")));
}

std::string price_text(const PriceSetting& s) {
  std::string rows = s.costs ? "                 experts     kept      loss     step\n"
                               "price             active   mass %  -ln kept       ms  tokens/s  "
                               "J/token       W\n"
                             : "                 experts     kept      loss\n"
                               "price             active   mass %  -ln kept\n";
  rows += fmt::format("{:-<{}}\n", "", s.costs ? 79 : 43);
  for (const RoutingOption& o : price_options(s.config, s.levels)) {
    rows += row(s, fmt::format("lambda {:.4f}", o.lambda), o);
  }
  rows +=
      "What pricing competes with: each token keeps its best and fills up to k from what the batch "
      "keeps\n(OPPORTUNISTIC)\n";
  for (const RoutingOption& o : opportunistic_options(s.config)) {
    if (o.keep != s.config.router.k) rows += row(s, fmt::format("keep {}", o.keep), o);
  }
  rows += "or takes fewer experts (REDUCED_K)\n";
  for (const RoutingOption& o : fewer_expert_options(s.config)) {
    if (o.k != s.config.router.k) rows += row(s, fmt::format("top-{}", o.k), o);
  }
  if (s.config.targets.any()) rows += chosen_text(s);
  if (rows.find(" *\n") != std::string::npos) {
    rows += "* beyond the rows of the table: extrapolated\n";
  }
  return logits_text(s) + costs_text(s) + rows;
}

nlohmann::json price_json(const PriceSetting& s) {
  const nlohmann::json router = router_json(s.config.router, s.told, s.given);
  nlohmann::json json = {{"schema", 1},
                         {"logits", s.logits_file},
                         {"samples", s.config.calibration.size()},
                         {"tokens", whole_where_it_is(s.tokens)},
                         {"score_function", to_string(s.config.router.score)},
                         {"score_function_basis", router["basis"]["score_function"]},
                         {"router", router},
                         {"padding_tokens", s.padding_tokens},
                         {"constant_rows", s.constant_rows},
                         {"logits_look_like_scores", s.look_like_scores},
                         {"cost_model", s.cost_model_file},
                         {"device", s.device},
                         {"pricing", nlohmann::json::array()},
                         {"opportunistic", nlohmann::json::array()},
                         {"fewer_experts", nlohmann::json::array()}};
  if (s.costs) {
    json.update(costs_json(s));
  } else {
    json["missing_op"] = s.missing_op;
  }
  for (const RoutingOption& o : price_options(s.config, s.levels)) {
    json["pricing"].push_back(to_json(s, o));
  }
  for (const RoutingOption& o : opportunistic_options(s.config)) {
    json["opportunistic"].push_back(to_json(s, o));
  }
  for (const RoutingOption& o : fewer_expert_options(s.config)) {
    json["fewer_experts"].push_back(to_json(s, o));
  }
  if (s.config.targets.any()) {
    const Calibration chosen = calibrate(s.config);
    json["chosen"] = to_json(s, option_at(s.config, chosen.lambda, chosen.demand));
    json["chosen"]["k_min"] = chosen.parameters.k_min;
    json["chosen"]["reached"] = chosen.reached;
  }
  return json;
}

}  // namespace thermoe
