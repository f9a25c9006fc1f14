// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

#include "cost/cost_report.h"
#include "cost/cost_writer.h"

namespace thermoe {
namespace {

constexpr double kMicro = 1e6;

struct Range {
  double low = 0.0;
  double high = 0.0;
};

Range tokens_range(const CostTable& table) {
  return {table.rows().front().tokens, table.rows().back().tokens};
}

Range active_range(const CostTable& table) {
  Range r{*table.rows().front().active_experts, *table.rows().front().active_experts};
  for (const CostRow& row : table.rows()) {
    r = {std::min(r.low, *row.active_experts), std::max(r.high, *row.active_experts)};
  }
  return r;
}

std::string shown(const Range& r) {
  return r.low == r.high ? fmt::format("{:g}", r.low) : fmt::format("{:g}..{:g}", r.low, r.high);
}

std::string cell(std::optional<double> value, double scale) {
  return value ? fmt::format("{:.5g}", scale * *value) : "-";
}

template <class Unit>
std::optional<double> number(const std::optional<Unit>& quantity) {
  return quantity ? std::optional(quantity->value) : std::nullopt;
}

/// What the controller would make of an expert table at each profiled batch.
struct BatchFit {
  double tokens = 0.0;
  Cost constant{};
  Cost activation{};
  Cost token{};
  FitReport report{};
};

std::vector<BatchFit> fits(const KernelCostModel& model, const CostTable& table) {
  std::vector<BatchFit> out;
  if (!table.by_active_experts()) return out;
  for (const double tokens : table.token_counts()) {
    const auto fit = fit_step_cost({&table}, static_cast<int>(tokens), table.key().shape[1], 1.0,
                                   model.active_idle());
    out.push_back({.tokens = tokens,
                   .constant = fit.step.layer_constant,
                   .activation = fit.step.variants[0].activation(),
                   .token = fit.step.variants[0].marginal(1.0),
                   .report = fit.reports[0]});
  }
  return out;
}

void add_header(const KernelCostModel& model, std::string& text) {
  const CostModelHeader& h = model.header();
  auto out = std::back_inserter(text);
  fmt::format_to(out, "{}\n", h.path);
  if (!h.purpose.empty()) fmt::format_to(out, "  purpose   {}\n", h.purpose);
  fmt::format_to(out, "  device    {}, driver {}, SM {} MHz, memory {} MHz\n", h.device, h.driver,
                 cell(number(h.sm_clock), 1.0), cell(number(h.memory_clock), 1.0));
  fmt::format_to(out, "  power     {}\n", h.power_definition);
  fmt::format_to(out, "  idle      {:g} W active, {:g} W cold\n", h.active_idle.value,
                 h.cold_idle.value);
  if (h.thermal) {
    fmt::format_to(out, "  thermal   {:g} C ambient, {:g} K/W, {:g} s\n", h.thermal->ambient.value,
                   h.thermal->resistance.value, h.thermal->time_constant.value);
  } else {
    fmt::format_to(out, "  thermal   absent: temperatures cannot be predicted from this file\n");
  }
  if (h.sensors) {
    fmt::format_to(out, "  sensors   power {:g} s late, mean of {:g} s{}\n", h.sensors->delay.value,
                   h.sensors->window.value,
                   h.sensors->period
                       ? fmt::format(", a new reading each {:g} s", h.sensors->period->value)
                       : "");
  }
  for (const ExpertShape& s : h.models) {
    fmt::format_to(out, "  model     {}: {} layers of {} experts of {} x {}, top-{}\n", s.name,
                   s.layers, s.experts, s.d_model, s.d_ff, s.top_k);
  }
  if (const auto& t = h.perturbation.thermal) {
    fmt::format_to(out, "  when hot  energy {:+.3g} % a degree above {:g} C\n",
                   100.0 * t->energy_per_c, t->reference.value);
  }
  if (const auto& p = h.perturbation.power) {
    fmt::format_to(out,
                   "  at limit  latency +{:.3g} % for each % of power beyond {:g} % of {:g} W\n",
                   p->slope, 100.0 * p->knee, p->limit.value);
  }
}

std::string graph_and_context(const OtherRow& row) {
  std::string text;
  if (row.graph_size) text += fmt::format(", graph of {}", *row.graph_size);
  if (row.context) text += fmt::format(", context {:g}", *row.context);
  return text;
}

void add_others(const KernelCostModel& model, std::string& text) {
  auto out = std::back_inserter(text);
  fmt::format_to(out, "\n{}", coverage_text(model));
  for (const OtherCosts& other : model.others()) {
    fmt::format_to(out, "\n{}, a step beside its expert layers  ({})\n", other.name(),
                   to_string(other.source()));
    if (!other.method().empty()) fmt::format_to(out, "    from {}\n", other.method());
    for (const OtherRow& row : other.rows()) {
      fmt::format_to(out, "    batch {:g}{}: {:.5g} us (+-{} %), {} uJ (+-{} %)\n", row.batch,
                     graph_and_context(row), kMicro * row.latency.value, cell(row.spread, 100.0),
                     cell(number(row.energy), kMicro), cell(row.energy_spread, 100.0));
    }
  }
}

void add_fits(const KernelCostModel& model, const CostTable& table, std::string& text) {
  auto out = std::back_inserter(text);
  for (const BatchFit& f : fits(model, table)) {
    fmt::format_to(
        out,
        "    batch {:<5g} {:>7.2f} us {:>7.2f} mJ a layer, {:>6.3f} us {:>6.3f} mJ an active "
        "expert, {:>6.2f} ns {:>6.2f} uJ a pick more\n"
        "                residual rms {:.1f} % (max {:.1f} %) of latency, {:.1f} % (max {:.1f} "
        "%) of energy, {} points {}\n",
        f.tokens, kMicro * f.constant.latency.value, 1e3 * f.constant.energy.value,
        kMicro * f.activation.latency.value, 1e3 * f.activation.energy.value,
        1e9 * f.token.latency.value, kMicro * f.token.energy.value, 100.0 * f.report.latency_rms,
        100.0 * f.report.latency_max, 100.0 * f.report.energy_rms, 100.0 * f.report.energy_max,
        f.report.rows, to_string(f.report.basis));
  }
}

void add_rows(const CostTable& table, std::string& text) {
  auto out = std::back_inserter(text);
  fmt::format_to(out, "    {:>8} {:>8} {:>11} {:>11} {:>9} {:>8}\n", "tokens", "active",
                 "latency us", "energy uJ", "heat uK", "spread %");
  for (const CostRow& r : table.rows()) {
    fmt::format_to(out, "    {:>8g} {:>8} {:>11.5g} {:>11} {:>9} {:>8}{}\n", r.tokens,
                   cell(r.active_experts, 1.0), kMicro * r.latency.value,
                   cell(number(r.energy), kMicro), cell(number(r.heat), kMicro),
                   cell(r.spread, 100.0), r.energy_fitted ? "  energy fitted" : "");
  }
}

void set(nlohmann::json& object, const char* name, std::optional<double> value) {
  if (value) object[name] = *value;
}

nlohmann::json rows_json(const CostTable& table) {
  auto rows = nlohmann::json::array();
  for (const CostRow& r : table.rows()) {
    nlohmann::json row = {{"tokens", r.tokens}, {"latency_us", kMicro * r.latency.value}};
    set(row, "active_experts", r.active_experts);
    if (r.energy) row["energy_uj"] = kMicro * r.energy->value;
    if (r.heat) row["heat_uk"] = kMicro * r.heat->value;
    if (r.samples) row["samples"] = *r.samples;
    set(row, "spread", r.spread);
    set(row, "energy_spread", r.energy_spread);
    if (r.energy_fitted) row["energy_fitted"] = true;
    rows.push_back(std::move(row));
  }
  return rows;
}

nlohmann::json fits_json(const KernelCostModel& model, const CostTable& table) {
  auto list = nlohmann::json::array();
  for (const BatchFit& f : fits(model, table)) {
    list.push_back({{"tokens", f.tokens},
                    {"layer_latency_us", kMicro * f.constant.latency.value},
                    {"layer_energy_uj", kMicro * f.constant.energy.value},
                    {"activation_latency_us", kMicro * f.activation.latency.value},
                    {"activation_energy_uj", kMicro * f.activation.energy.value},
                    {"pick_latency_us", kMicro * f.token.latency.value},
                    {"pick_energy_uj", kMicro * f.token.energy.value},
                    {"latency_rms", f.report.latency_rms},
                    {"latency_max", f.report.latency_max},
                    {"energy_rms", f.report.energy_rms},
                    {"energy_max", f.report.energy_max},
                    {"points", f.report.rows},
                    {"basis", to_string(f.report.basis)}});
  }
  return list;
}

nlohmann::json table_json(const KernelCostModel& model, const CostTable& table) {
  const Range tokens = tokens_range(table);
  nlohmann::json json = {{"op", table.key().op},       {"shape", table.key().shape},
                         {"dtype", table.key().dtype}, {"source", to_string(table.source())},
                         {"method", table.method()},   {"tokens_range", {tokens.low, tokens.high}},
                         {"rows", rows_json(table)}};
  if (table.key().group_size) json["group_size"] = *table.key().group_size;
  if (table.by_active_experts()) {
    const Range active = active_range(table);
    json["active_experts_range"] = {active.low, active.high};
    json["layer_fits"] = fits_json(model, table);
  }
  return json;
}

}  // namespace

std::vector<std::string> experts_only(const KernelCostModel& model) {
  std::vector<std::string> names;
  for (const ExpertShape& shape : model.header().models) {
    const auto of = [&](const OtherCosts& other) { return other.model() == shape.name; };
    if (std::ranges::none_of(model.others(), of)) names.push_back(shape.name);
  }
  return names;
}

std::string coverage_text(const KernelCostModel& model) {
  std::string text;
  auto out = std::back_inserter(text);
  for (const OtherCosts& other : model.others()) {
    fmt::format_to(out, "Whole steps of {}.\n", other.name());
  }
  const std::vector<std::string> names = experts_only(model);
  if (model.others().empty() || !names.empty()) {
    fmt::format_to(out,
                   "Expert layers only{}: what attention, norms, the head and launch gaps of a "
                   "step cost is not known (no `other`; thermoe cost fit-step).\n",
                   names.empty() ? "" : fmt::format(" of {}", fmt::join(names, ", ")));
  }
  return text;
}

std::string show_text(const KernelCostModel& model, bool with_rows) {
  std::string text;
  auto out = std::back_inserter(text);
  add_header(model, text);
  fmt::format_to(
      out,
      "\n{} table{}. At a row a cost is measured, between rows interpolated, outside the ranges "
      "extrapolated.\n",
      model.tables().size(), model.tables().size() == 1 ? "" : "s");
  for (const CostTable& table : model.tables()) {
    fmt::format_to(out, "\n{}  ({}, {} rows)\n", to_string(table.key()), to_string(table.source()),
                   table.rows().size());
    if (!table.method().empty()) fmt::format_to(out, "    from {}\n", table.method());
    fmt::format_to(out, "    tokens {}", shown(tokens_range(table)));
    if (table.by_active_experts())
      fmt::format_to(out, ", active experts {}", shown(active_range(table)));
    const CostRow &first = table.rows().front(), &last = table.rows().back();
    fmt::format_to(out, "; first row {:.5g} us {} uJ, last {:.5g} us {} uJ\n",
                   kMicro * first.latency.value, cell(number(first.energy), kMicro),
                   kMicro * last.latency.value, cell(number(last.energy), kMicro));
    add_fits(model, table, text);
    if (with_rows) add_rows(table, text);
  }
  add_others(model, text);
  return text;
}

nlohmann::json show_json(const KernelCostModel& model) {
  const CostModelHeader& h = model.header();
  nlohmann::json json = {{"file", h.path},
                         {"device", h.device},
                         {"driver", h.driver},
                         {"purpose", h.purpose},
                         {"power_definition", h.power_definition},
                         {"idle_active_w", h.active_idle.value},
                         {"idle_cold_w", h.cold_idle.value},
                         {"tables", nlohmann::json::array()}};
  if (h.thermal) {
    json["thermal"] = {{"ambient_c", h.thermal->ambient.value},
                       {"resistance_k_per_w", h.thermal->resistance.value},
                       {"time_constant_s", h.thermal->time_constant.value}};
  }
  for (const CostTable& table : model.tables()) json["tables"].push_back(table_json(model, table));
  if (model.others().empty()) json["covers"] = "expert layers only";
  json["expert_layers_only"] = experts_only(model);
  json["other"] = nlohmann::json::array();
  for (const OtherCosts& other : model.others())
    json["other"].push_back(nlohmann::json(to_json(other)));
  return json;
}

}  // namespace thermoe
