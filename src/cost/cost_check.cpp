// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>

#include "cost/cost_report.h"
#include "cost/table_check.h"

namespace thermoe {
namespace {

std::string place(const LineCheck& line) {
  if (!line.at) return fmt::format("{} along {}", line.quantity, line.along);
  const char* other = line.along == "tokens" ? "active experts" : "tokens";
  return fmt::format("{} along {} at {:g} {}", line.quantity, line.along, *line.at, other);
}

/// The worst line of each quantity and direction: what one row of the text says.
std::map<std::string, LineCheck> worst_lines(const std::vector<LineCheck>& lines) {
  std::map<std::string, LineCheck> worst;
  for (const LineCheck& line : lines) {
    const auto [it, fresh] = worst.try_emplace(line.quantity + " along " + line.along, line);
    if (!fresh && line.convexity.relative > it->second.convexity.relative) it->second = line;
  }
  return worst;
}

/// Of each quantity and direction, the line with the most rows: it shows best where a table bends.
std::map<std::string, LineCheck> densest_lines(const std::vector<LineCheck>& lines) {
  std::map<std::string, LineCheck> densest;
  for (const LineCheck& line : lines) {
    const auto [it, fresh] = densest.try_emplace(line.quantity + " along " + line.along, line);
    if (!fresh && line.points.size() > it->second.points.size()) it->second = line;
  }
  return densest;
}

void add_table(const CostTable& table, double threshold, CheckResult& result) {
  auto out = std::back_inserter(result.text);
  const std::vector<LineCheck> lines = check_table(table);
  fmt::format_to(out, "{}\n", to_string(table.key()));
  if (lines.empty()) fmt::format_to(out, "  one row only: nothing to check\n");
  for (const auto& [what, line] : worst_lines(lines)) {
    fmt::format_to(out, "  {:<33} {:5.1f} % above its convex envelope\n", what,
                   100.0 * line.convexity.relative);
  }
  for (const auto& [what, line] : densest_lines(lines)) {
    for (const Bend& bend : line.bends) {
      fmt::format_to(out, "  bends: {}: {} ({})\n", place(line), bend_text(bend, line.along),
                     to_string(bend.kind));
    }
  }
  for (const LineCheck& line : lines) {
    if (line.convexity.relative > threshold) {
      result.within = false;
      fmt::format_to(out,
                     "  warning: {}: {:.1f} % above the envelope at {} = {:g} (threshold {:g} %)\n",
                     place(line), 100.0 * line.convexity.relative, line.along, line.convexity.at_x,
                     100.0 * threshold);
    }
    for (const Fall& fall : line.falls) {
      fmt::format_to(out, "  falls: {}: {:.5g} at {:g}, then {:.5g} at {:g}\n", place(line),
                     fall.from.y, fall.from.x, fall.to.y, fall.to.x);
    }
  }
}

nlohmann::json line_json(const LineCheck& line) {
  nlohmann::json json = {{"quantity", line.quantity},        {"along", line.along},
                         {"points", line.points.size()},     {"distance", line.convexity.relative},
                         {"bends", nlohmann::json::array()}, {"falls", nlohmann::json::array()}};
  if (line.at) json[line.along == "tokens" ? "active_experts" : "tokens"] = *line.at;
  if (line.convexity.relative > 0.0) json["distance_at"] = line.convexity.at_x;
  for (const Fall& fall : line.falls) {
    json["falls"].push_back({{"from", {fall.from.x, fall.from.y}}, {"to", {fall.to.x, fall.to.y}}});
  }
  for (const Bend& bend : line.bends) {
    nlohmann::json one = {{"kind", to_string(bend.kind)},
                          {"from", {bend.from.x, bend.from.y}},
                          {"to", {bend.to.x, bend.to.y}},
                          {"relative", bend.relative}};
    if (bend.steps > 1) one.update({{"steps", bend.steps}, {"period", bend.period}});
    json["bends"].push_back(std::move(one));
  }
  return json;
}

}  // namespace

CheckResult check_text(const KernelCostModel& model, double threshold) {
  CheckResult result;
  auto out = std::back_inserter(result.text);
  fmt::format_to(out,
                 "{}: sound. Distance from what the optimisation assumes (costs convex and "
                 "nondecreasing):\n",
                 model.header().path);
  for (const CostTable& table : model.tables()) add_table(table, threshold, result);
  fmt::format_to(out, "{}\n",
                 result.within
                     ? fmt::format("All within {:g} % of convex.", 100.0 * threshold)
                     : fmt::format("Some tables are more than {:g} % from convex: prices there "
                                   "are approximate; profile those rows again.",
                                   100.0 * threshold));
  result.text += coverage_text(model);
  return result;
}

nlohmann::json check_json(const KernelCostModel& model, double threshold) {
  auto tables = nlohmann::json::array();
  bool within = true;
  for (const CostTable& table : model.tables()) {
    auto lines = nlohmann::json::array();
    for (const LineCheck& line : check_table(table)) {
      within = within && line.convexity.relative <= threshold;
      lines.push_back(line_json(line));
    }
    nlohmann::json json = {{"op", table.key().op},
                           {"shape", table.key().shape},
                           {"dtype", table.key().dtype},
                           {"lines", std::move(lines)}};
    if (table.key().group_size) json["group_size"] = *table.key().group_size;
    tables.push_back(std::move(json));
  }
  auto whole = nlohmann::json::array();
  for (const OtherCosts& other : model.others()) whole.push_back(other.name());
  return {{"file", model.header().path},
          {"threshold", threshold},
          {"within_threshold", within},
          {"whole_steps", std::move(whole)},
          {"expert_layers_only", experts_only(model)},
          {"tables", std::move(tables)}};
}

}  // namespace thermoe
