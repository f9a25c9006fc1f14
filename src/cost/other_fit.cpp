// SPDX-License-Identifier: Apache-2.0
#include "cost/other_fit.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <tuple>
#include <utility>

#include "core/atomic_file.h"
#include "core/errors.h"
#include "core/json_file.h"
#include "cost/cost_schema.h"
#include "cost/cost_writer.h"

namespace thermoe {
namespace {

/// One quantity of the rows of one point, row by row.
struct Samples {
  std::vector<double> active{};
  std::vector<double> steps{};
  std::vector<double> experts{};
};

StepLine line_of(const std::vector<double>& x, const std::vector<double>& y) {
  const auto n = static_cast<double>(x.size());
  double mean_x = 0.0, mean_y = 0.0, sxx = 0.0, sxy = 0.0;
  for (std::size_t i = 0; i < x.size(); ++i) mean_x += x[i] / n, mean_y += y[i] / n;
  for (std::size_t i = 0; i < x.size(); ++i) {
    sxx += (x[i] - mean_x) * (x[i] - mean_x);
    sxy += (x[i] - mean_x) * (y[i] - mean_y);
  }
  if (sxx <= 1e-12 * n * mean_x * mean_x) return {.constant = mean_y};
  return {.constant = mean_y - sxy / sxx * mean_x, .slope = sxy / sxx};
}

/// The fit, and the relative half-width of what is left over D (absent for one row).
std::pair<QuantityFit, std::optional<double>> fit_quantity(const Samples& s) {
  QuantityFit fit{.steps = line_of(s.active, s.steps), .experts = line_of(s.active, s.experts)};
  const auto n = static_cast<double>(s.steps.size());
  double least = s.steps[0] - s.experts[0], most = least;
  for (std::size_t i = 0; i < s.steps.size(); ++i) {
    const double left = s.steps[i] - s.experts[i];
    fit.other += left / n;
    least = std::min(least, left), most = std::max(most, left);
  }
  for (std::size_t i = 0; i < s.steps.size(); ++i) {
    const double error = (s.experts[i] + fit.other) / s.steps[i] - 1.0;
    fit.rms += error * error / n;
    fit.max = std::max(fit.max, std::abs(error));
  }
  fit.rms = std::sqrt(fit.rms);
  if (s.steps.size() < 2) return {fit, std::nullopt};
  // A row of the cost model bounds its spread; beyond that the figure says nothing anyway.
  return {fit, std::min(kMostSpread, (most - least) / (2.0 * std::max(fit.other, 1e-30)))};
}

const ExpertShape& shape_of(const KernelCostModel& costs, const std::string& model) {
  if (const ExpertShape* shape = costs.find_shape(model)) return *shape;
  std::vector<std::string> names;
  for (const ExpertShape& shape : costs.header().models) names.push_back(shape.name);
  const auto near = nearest_name(model, names);
  throw UsageError(fmt::format(
      "--model {}: {} names no such model{}; it names: {}. Add its name, layers and shape to "
      "/models, or choose one of these",
      model, costs.header().path, near ? fmt::format(" (did you mean \"{}\"?)", *near) : "",
      names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", "))));
}

/// Joules above idle, if the row has any. Throws FormatError where idle alone is more.
std::optional<double> above_idle(const StepRow& row, Watts idle, const std::string& file) {
  if (!row.energy) return std::nullopt;
  const Joules above = *row.energy - idle * row.step;
  if (above > Joules(0.0)) return above.value;
  throw FormatError(
      file, fmt::format("{}, step_j", row.place),
      fmt::format("is {:g} J in {:g} ms, and idle alone ({:g} W) takes {:.4g} J; it "
                  "must be the whole board's joules of one step",
                  row.energy->value, 1e3 * row.step.value, idle.value, (idle * row.step).value));
}

void refuse_unless_positive(const QuantityFit& fit, const char* field, const OtherFitRequest& r,
                            const std::string& experts) {
  if (fit.other > 0.0) return;
  throw FormatError(
      r.rows_file, field,
      fmt::format("the model's expert layers alone take more than the steps ({:.4g} of {:.4g} at "
                  "the mean); {} is not what {} runs: use a cost model of its kernels{}",
                  fit.experts.constant + fit.experts.slope.value_or(0.0), fit.steps.constant,
                  experts, r.engine,
                  std::string_view(field) == "step_j" ? ", or leave step_j out" : ""));
}

OtherPoint fit_point(const std::vector<const StepRow*>& rows, const KernelCostModel& costs,
                     const ExpertShape& shape, const OtherFitRequest& request,
                     const std::string& experts) {
  OtherPoint point;
  Samples latency, energy;
  for (const StepRow* row : rows) {
    if (row->active_experts > shape.experts) {
      throw FormatError(request.rows_file, fmt::format("{}, active_experts", row->place),
                        fmt::format("is {:g}, and {} has {} experts a layer; it is the mean of "
                                    "distinct experts of one layer",
                                    row->active_experts, shape.name, shape.experts));
    }
    const Lookup layer = costs.layer(shape, request.dtype, row->batch, row->active_experts);
    point.basis = weaker(point.basis, layer.basis);
    latency.active.push_back(row->active_experts);
    latency.steps.push_back(row->step.value);
    latency.experts.push_back(shape.layers * layer.cost.latency.value);
    const auto joules = above_idle(*row, costs.active_idle(), request.rows_file);
    if (!joules) continue;
    energy.active.push_back(row->active_experts);
    energy.steps.push_back(*joules);
    energy.experts.push_back(shape.layers * layer.cost.energy.value);
  }
  std::optional<double> spread;
  std::tie(point.latency, spread) = fit_quantity(latency);
  refuse_unless_positive(point.latency, "step_ms", request, experts);
  const StepRow& first = *rows.front();
  point.row = {.batch = first.batch,
               .graph_size = first.graph_size,
               .context = first.context,
               .latency = Seconds(point.latency.other),
               .samples = static_cast<int>(rows.size()),
               .spread = spread};
  if (energy.steps.size() < rows.size()) return point;
  auto [joules, energy_spread] = fit_quantity(energy);
  refuse_unless_positive(joules, "step_j", request, experts);
  point.row.energy = Joules(joules.other);
  point.row.energy_spread = energy_spread;
  point.energy = joules;
  return point;
}

nlohmann::ordered_json read_ordered(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return nlohmann::ordered_json::parse(in);  // it was loaded before
}

}  // namespace

OtherFit fit_other_costs(const std::vector<StepRow>& rows, const KernelCostModel& costs,
                         const OtherFitRequest& request) {
  THERMOE_EXPECT(!rows.empty(), "{}: a fit needs rows", request.rows_file);
  const ExpertShape& shape = shape_of(costs, request.model);
  const std::string experts = fmt::format("{} layers of moe_experts{} [{}, {}, {}, {}] {}",
                                          shape.layers, shape.gated ? "" : "_plain", shape.experts,
                                          shape.top_k, shape.d_model, shape.d_ff, request.dtype);
  using Place = std::tuple<int, double, double>;
  std::map<Place, std::vector<const StepRow*>> groups;
  for (const StepRow& row : rows) {
    groups[{row.graph_size.value_or(0), row.batch, row.context.value_or(-1.0)}].push_back(&row);
  }
  std::vector<OtherPoint> points;
  std::vector<OtherRow> found;
  for (const auto& [place, members] : groups) {
    points.push_back(fit_point(members, costs, shape, request, experts));
    const OtherRow& row = points.back().row;
    if (const auto problem = find_problem(found.empty() ? nullptr : &found.back(), row)) {
      throw FormatError(request.rows_file,
                        fmt::format("{}, {}", members.front()->place, problem->field),
                        problem->problem);
    }
    found.push_back(row);
  }
  return {.other = {shape.name, request.engine, CostSource::kDerived,
                    fmt::format("measured steps less {}, mean over D; joules above {:g} W of idle",
                                experts, costs.active_idle().value),
                    std::move(found)},
          .experts = experts,
          .points = std::move(points)};
}

void write_other_costs(const OtherCosts& other, const std::string& path, const std::string& out) {
  nlohmann::ordered_json file = read_ordered(path);
  file["schema"] = kCostSchema;
  nlohmann::ordered_json& list = file["other"];
  if (!list.is_array()) list = nlohmann::ordered_json::array();
  const auto same = std::ranges::find_if(list, [&](const nlohmann::ordered_json& one) {
    return one.at("model") == other.model() && one.at("engine") == other.engine();
  });
  if (same == list.end()) {
    list.push_back(to_json(other));
  } else {
    *same = to_json(other);
  }
  const std::string text = json_text(file, 1) + "\n";
  KernelCostModel::from_json(parse_json(text, out), out);  // nothing is written that does not load
  write_file_atomically(out, text);
}

}  // namespace thermoe
