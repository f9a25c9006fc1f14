// SPDX-License-Identifier: Apache-2.0
#include "cli/cost_at_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/errors.h"
#include "core/json_file.h"
#include "core/terminal_text.h"
#include "cost/kernel_cost_model.h"
#include "profile/op_point.h"
#include "profile/record/measured_costs.h"
#include "profile/record/record_file.h"

namespace thermoe {
namespace {

struct CostAtOptions {
  std::string file{};
  std::vector<std::string> points{};
  bool json = false;
};

/// A name and what the file's table says of it.
struct PointCost {
  std::string point{};
  OpCost cost{};
};

std::vector<CostTable> tables_of(const std::string& file) {
  if (std::filesystem::path(file).extension() != ".jsonl") {
    return KernelCostModel::load(file).tables();
  }
  return measured_costs(read_records(file), LayersWithoutEnergy::kKept).tables;
}

/// A point that names no group size means the only table of its op, shape and dtype.
bool is_of(const CostTable& table, const OpKey& key) {
  OpKey other = table.key();
  if (!key.group_size) other.group_size.reset();
  return other == key;
}

PointCost cost_at(const std::vector<CostTable>& tables, const std::string& name,
                  const std::string& file) {
  const auto point = read_op_point(name);
  if (!point) {
    throw UsageError(
        fmt::format("\"{}\": names no point; write it as thermoe profile does, "
                    "\"moe_experts [128, 8, 2048, 768] bf16 tokens 16 active 64\"",
                    name));
  }
  const auto same = [&](const CostTable& table) { return is_of(table, point->key); };
  const auto table = std::ranges::find_if(tables, same);
  if (table == tables.end()) {
    throw UsageError(fmt::format("{}: has no table of {}; thermoe cost show lists a cost model's",
                                 file, to_string(point->key)));
  }
  if (std::ranges::count_if(tables, same) > 1) {
    throw UsageError(fmt::format("{}: has several tables of {}; name the group, as in {}", file,
                                 to_string(point->key), to_string(table->key())));
  }
  if (table->by_active_experts() != point->active_experts.has_value()) {
    throw UsageError(fmt::format("\"{}\": {}", name,
                                 point->active_experts ? "only expert layers have active experts"
                                                       : "an expert layer needs \"active N\""));
  }
  if (point->active_experts && *point->active_experts > table->key().shape.front()) {
    throw UsageError(fmt::format("\"{}\": {} experts cannot be active of {}", name,
                                 *point->active_experts, table->key().shape.front()));
  }
  return {to_string(*point), table->at(point->tokens, point->active_experts.value_or(0.0))};
}

void print_json(const std::vector<PointCost>& costs) {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const auto& [point, cost] : costs) {
    nlohmann::ordered_json row{{"point", point},
                               {"latency_us", 1e6 * cost.latency.value},
                               {"energy_uj", nullptr},
                               {"basis", to_string(cost.basis)}};
    if (cost.energy) row["energy_uj"] = 1e6 * cost.energy->value;
    rows.push_back(std::move(row));
  }
  fmt::print("{}\n", json_text(rows, 1));
}

void print_text(const std::vector<PointCost>& costs) {
  std::string text = fmt::format("{:>12} {:>12}  {:<13} {}\n", "us", "mJ", "basis", "point");
  for (const auto& [point, cost] : costs) {
    text += fmt::format("{:>12.3f} {:>12}  {:<13} {}\n", 1e6 * cost.latency.value,
                        cost.energy ? fmt::format("{:.4f}", 1e3 * cost.energy->value) : "-",
                        to_string(cost.basis), point);
  }
  fmt::print("{}", printable_lines(text));
}

void run(const CostAtOptions& options) {
  const std::vector<CostTable> tables = tables_of(options.file);
  std::vector<PointCost> costs;
  for (const std::string& name : options.points) {
    costs.push_back(cost_at(tables, name, options.file));
  }
  options.json ? print_json(costs) : print_text(costs);
}

}  // namespace

void add_cost_at_command(CLI::App& cost) {
  // Shared by the callback, which outlives this function.
  const auto options = std::make_shared<CostAtOptions>();
  CLI::App* command = cost.add_subcommand(
      "at",
      "Look points up: latency, energy above active idle, and whether the table has the row or "
      "interpolates or extrapolates");
  command
      ->add_option("FILE", options->file,
                   "A cost model; or a profile's records.jsonl, whose expert layers need no energy")
      ->required();
  command
      ->add_option("POINT", options->points,
                   "As thermoe profile names it: \"moe_experts [128, 8, 2048, 768] bf16 tokens 20 "
                   "active 50\"")
      ->required();
  command->add_flag("--json", options->json, "Print JSON instead of text");
  command->callback([options] { run(*options); });
}

}  // namespace thermoe
