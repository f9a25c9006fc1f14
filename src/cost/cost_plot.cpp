// SPDX-License-Identifier: Apache-2.0
#include "cost/cost_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "cost/cost_report.h"
#include "cost/cost_writer.h"
#include "cost/table_check.h"

namespace thermoe {
namespace {

using nlohmann::json;

constexpr double kMicro = 1e6;
constexpr const char* kEnergy = "energy_uj";

json points_json(std::span<const CurvePoint> points) {
  json x = json::array(), y = json::array();
  for (const CurvePoint& p : points) x.push_back(p.x), y.push_back(p.y);
  return {{"x", std::move(x)}, {"y", std::move(y)}};
}

/// Height of the envelope at each point.
std::vector<double> envelope_at(std::span<const CurvePoint> hull,
                                std::span<const CurvePoint> points) {
  std::vector<double> heights;
  std::size_t corner = 0;
  for (const CurvePoint& p : points) {
    while (corner + 1 < hull.size() && hull[corner + 1].x <= p.x) ++corner;
    const CurvePoint& a = hull[corner];
    if (a.x == p.x) {
      heights.push_back(a.y);
      continue;
    }
    const CurvePoint& b = hull[corner + 1];
    heights.push_back(a.y + (b.y - a.y) * (p.x - a.x) / (b.x - a.x));
  }
  return heights;
}

/// What the controller's fit of an expert layer says at the points of one batch.
std::vector<double> fit_at(const KernelCostModel& model, const CostTable& table, double tokens,
                           bool energy, std::span<const CurvePoint> points) {
  const int top_k = table.key().shape[1];
  const auto fit =
      fit_step_cost({&table}, static_cast<int>(tokens), top_k, 1.0, model.active_idle());
  const auto figure = [&](const Cost& c) {
    return kMicro * (energy ? c.energy.value : c.latency.value);
  };
  const CostCurve& curve = fit.step.variants.front();
  std::vector<double> heights;
  for (const CurvePoint& p : points) {
    const double more = std::max(0.0, tokens * top_k - p.x);
    heights.push_back(figure(fit.step.layer_constant) + p.x * figure(curve.activation()) +
                      more * figure(curve.marginal(1.0)));
  }
  return heights;
}

/// Percent by which rows lie above what stands for them.
json residuals(std::span<const CurvePoint> points, const std::vector<double>& heights) {
  json out = json::array();
  for (std::size_t i = 0; i < points.size(); ++i) {
    out.push_back(points[i].y > 0.0 ? json(100.0 * (points[i].y - heights[i]) / points[i].y)
                                    : json(nullptr));
  }
  return out;
}

json bends_json(const LineCheck& line) {
  json out = json::array();
  for (const Bend& bend : line.bends) {
    out.push_back({{"kind", to_string(bend.kind)},
                   {"text", bend_text(bend, line.along)},
                   {"from", bend.from.x},
                   {"to", bend.to.x}});
  }
  return out;
}

json line_json(const KernelCostModel& model, const CostTable& table, const LineCheck& line) {
  const std::vector<CurvePoint> hull = lower_convex_envelope(line.points);
  json out = points_json(line.points);
  out["at"] = line.at ? json(*line.at) : json(nullptr);
  out["envelope"] = points_json(hull);
  out["above_envelope"] = residuals(line.points, envelope_at(hull, line.points));
  out["distance"] = 100.0 * line.convexity.relative;
  out["distance_at"] = line.convexity.at_x;
  out["falls"] = line.falls.size();
  out["bends"] = bends_json(line);
  if (table.by_active_experts() && line.at && line.along == "active_experts") {
    const auto fit = fit_at(model, table, *line.at, line.quantity == kEnergy, line.points);
    out["fit"] = fit;
    out["off_fit"] = residuals(line.points, fit);
  }
  return out;
}

/// One chart a quantity. Expert layers are drawn along their active experts, a line a batch; what
/// they cost along tokens is checked but not drawn, as such lines have few rows.
json charts_json(const KernelCostModel& model, const CostTable& table,
                 const std::vector<LineCheck>& lines) {
  json charts = json::array();
  const char* along = table.by_active_experts() ? "active_experts" : "tokens";
  for (const char* quantity : {"latency_us", kEnergy}) {
    json drawn = json::array();
    for (const LineCheck& line : lines) {
      if (line.quantity == quantity && line.along == along)
        drawn.push_back(line_json(model, table, line));
    }
    if (drawn.empty()) continue;
    charts.push_back({{"quantity", quantity}, {"along", along}, {"lines", std::move(drawn)}});
  }
  return charts;
}

json worst_json(const std::vector<LineCheck>& lines, const char* quantity) {
  json worst = nullptr;
  for (const LineCheck& line : lines) {
    if (line.quantity != quantity) continue;
    const double percent = 100.0 * line.convexity.relative;
    if (worst.is_null() || percent > worst.get<double>()) worst = percent;
  }
  return worst;
}

json table_json(const KernelCostModel& model, const CostTable& table,
                const std::vector<LineCheck>& lines) {
  return {{"name", to_string(table.key())},
          {"source", to_string(table.source())},
          {"method", table.method()},
          {"rows", table.rows().size()},
          {"worst_latency", worst_json(lines, "latency_us")},
          {"worst_energy", worst_json(lines, kEnergy)},
          {"charts", charts_json(model, table, lines)}};
}

/// The largest distance from convexity among a table's lines.
double worst(const std::vector<LineCheck>& lines) {
  double most = 0.0;
  for (const LineCheck& line : lines) most = std::max(most, line.convexity.relative);
  return most;
}

/// How far the tables are from convex: those that prices come from first, then the worst.
std::string verdict(const KernelCostModel& model, double threshold) {
  std::size_t beyond = 0;
  double experts = 0.0, most = -1.0;
  std::string name, text;
  for (const CostTable& table : model.tables()) {
    const double distance = worst(check_table(table));
    if (distance > threshold) ++beyond;
    if (table.by_active_experts()) experts = std::max(experts, distance);
    if (distance > most) most = distance, name = to_string(table.key());
  }
  if (std::ranges::any_of(model.tables(), &CostTable::by_active_experts)) {
    text = fmt::format(
        "Expert layers, which prices come from, are at most {:.1f} % above their convex "
        "envelopes. ",
        100.0 * experts);
  }
  if (beyond == 0) {
    return text + fmt::format("All tables are within {:g} %.", 100.0 * threshold);
  }
  return text + fmt::format(
                    "Of {} tables {} {} further from convex than {:g} %, most of all {} "
                    "({:.0f} %): profile those rows again before pricing from them.",
                    model.tables().size(), beyond, beyond == 1 ? "is" : "are", 100.0 * threshold,
                    name, 100.0 * most);
}

json conditions_json(const CostModelHeader& h) {
  json rows = json::array();
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) rows.push_back({name, value});
  };
  add("device", h.device);
  add("driver", h.driver);
  add("purpose", h.purpose);
  if (h.sm_clock) add("SM clock", fmt::format("{:g} MHz", h.sm_clock->value));
  if (h.memory_clock) add("memory clock", fmt::format("{:g} MHz", h.memory_clock->value));
  add("power", h.power_definition);
  add("idle", fmt::format("{:g} W active, {:g} W cold; energies are above active idle",
                          h.active_idle.value, h.cold_idle.value));
  add("file", h.path);
  return rows;
}

}  // namespace

json plot_json(const KernelCostModel& model, double threshold) {
  const CostModelHeader& h = model.header();
  json tables = json::array();
  for (const CostTable& table : model.tables()) {
    tables.push_back(table_json(model, table, check_table(table)));
  }
  json others = json::array();
  for (const OtherCosts& other : model.others()) others.push_back(json(to_json(other)));
  return {{"title", std::filesystem::path(h.path).filename().string() + ", " + h.device},
          {"verdict", verdict(model, threshold)},
          {"threshold", 100.0 * threshold},
          {"tables", std::move(tables)},
          {"other", std::move(others)},
          {"expert_layers_only", experts_only(model)},
          {"conditions", conditions_json(h)}};
}

}  // namespace thermoe
