// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>

#include "cost/cost_writer.h"
#include "cost/other_fit.h"

namespace thermoe {
namespace {

/// Slopes further apart than this are said to be: the tables are then of other kernels.
constexpr double kSlopeTolerance = 0.05;

std::string line_text(const StepLine& line, double scale, const char* unit) {
  if (!line.slope) return fmt::format("{:.4g} {} (one D only)", scale * line.constant, unit);
  return fmt::format("{:.4g} {} + {:.4g} {} x D", scale * line.constant, unit, scale * *line.slope,
                     unit);
}

void add_quantity(const char* name, const QuantityFit& fit, const char* unit, std::string& text) {
  constexpr double kMilli = 1e3;
  auto out = std::back_inserter(text);
  fmt::format_to(out,
                 "  {:<8} steps          {}\n"
                 "           expert layers  {}\n"
                 "           other          {:.4g} {}; expert layers + other are off by {:.1f} % "
                 "(max {:.1f} %)\n",
                 name, line_text(fit.steps, kMilli, unit), line_text(fit.experts, kMilli, unit),
                 kMilli * fit.other, unit, 100.0 * fit.rms, 100.0 * fit.max);
  if (!fit.steps.slope || !fit.experts.slope || *fit.experts.slope == 0.0) return;
  const double ratio = *fit.steps.slope / *fit.experts.slope - 1.0;
  if (std::abs(ratio) <= kSlopeTolerance) return;
  fmt::format_to(out,
                 "           note: an active expert costs {:+.1f} % against the tables: this "
                 "engine runs other kernels,\n           or was measured otherwise\n",
                 100.0 * ratio);
}

nlohmann::json line_json(const StepLine& line) {
  nlohmann::json json = {{"constant", line.constant}};
  json["per_active_expert"] = line.slope ? nlohmann::json(*line.slope) : nlohmann::json(nullptr);
  return json;
}

nlohmann::json quantity_json(const QuantityFit& fit) {
  return {{"steps", line_json(fit.steps)},
          {"expert_layers", line_json(fit.experts)},
          {"other", fit.other},
          {"rms", fit.rms},
          {"max", fit.max}};
}

}  // namespace

std::string fit_text(const OtherFit& fit) {
  std::string text;
  auto out = std::back_inserter(text);
  fmt::format_to(out, "{}: {} less {}\n", fit.other.name(), "measured steps", fit.experts);
  for (const OtherPoint& point : fit.points) {
    const OtherRow& row = point.row;
    fmt::format_to(out, "batch {:g}{}{}: {} row{}; the tables are {} there\n", row.batch,
                   row.graph_size ? fmt::format(", graph of {}", *row.graph_size) : "",
                   row.context ? fmt::format(", context {:g}", *row.context) : "", *row.samples,
                   *row.samples == 1 ? "" : "s", to_string(point.basis));
    add_quantity("latency", point.latency, "ms", text);
    if (point.energy) {
      add_quantity("energy", *point.energy, "mJ", text);
    } else {
      text += "  energy   unknown: not every row has step_j\n";
    }
  }
  return text + "Energies are above active idle.\n";
}

nlohmann::json fit_json(const OtherFit& fit) {
  auto points = nlohmann::json::array();
  for (const OtherPoint& point : fit.points) {
    nlohmann::json json = {{"batch", point.row.batch},
                           {"rows", *point.row.samples},
                           {"basis", to_string(point.basis)},
                           {"latency_s", quantity_json(point.latency)}};
    if (point.row.graph_size) json["graph_size"] = *point.row.graph_size;
    if (point.row.context) json["context"] = *point.row.context;
    if (point.energy) json["energy_j"] = quantity_json(*point.energy);
    points.push_back(std::move(json));
  }
  return {
      {"other", to_json(fit.other)}, {"expert_layers", fit.experts}, {"points", std::move(points)}};
}

}  // namespace thermoe
