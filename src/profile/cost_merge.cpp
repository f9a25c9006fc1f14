// SPDX-License-Identifier: Apache-2.0
#include "profile/cost_merge.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "core/atomic_file.h"
#include "core/errors.h"
#include "core/json_file.h"
#include "cost/cost_writer.h"
#include "cost/kernel_cost_model.h"
#include "profile/execution_row.h"
#include "profile/op_point.h"

namespace thermoe {
namespace {

/// The row of a point, without its energy where an execution was not sampled.
CostRow row_of(const OpPoint& point, const std::vector<Execution>& executions, Watts idle) {
  std::vector<std::int64_t> spans_ns;
  double joules = 0.0, seconds = 0.0;
  bool sampled = true;
  for (const Execution& execution : executions) {
    spans_ns.push_back(execution.span_ns);
    seconds += 1e-9 * static_cast<double>(execution.span_ns);
    sampled = sampled && execution.energy;
    if (execution.energy) joules += execution.energy->value;
  }
  CostRow row = row_of(point, spans_ns);
  const double above_idle = joules - idle.value * seconds;
  if (sampled && above_idle >= 0.0 && seconds > 0.0) {
    // By the power of all executions, at the median's length: a sensor does not see single ones.
    row.energy = Joules(above_idle / seconds * row.latency.value);
  }
  return row;
}

/// Why a row cannot stand in its table; empty if it can.
std::string problem_with(const OpPoint& point, const CostRow& row) {
  const bool experts = point.key.op.starts_with("moe_experts");
  if (experts && !point.active_experts) return "its name does not say how many experts were active";
  if (!experts && point.active_experts) return "only expert layers have active experts";
  if (experts && !row.energy) return "an expert layer needs its energy: parse with --samples";
  return row.latency.value > 0.0 ? "" : "it took no time";
}

CostSource source_of(const ParsedProfile& profile) {
  if (profile.tool == "nsys") return CostSource::kNsys;
  if (profile.tool == "kineto") return CostSource::kKineto;
  throw FormatError(
      profile.file, "",
      "ncu runs kernels at clocks of its own, so its durations are no latencies: merge "
      "an export of nsys or a trace of torch.profiler");
}

void check_device(const ParsedProfile& profile, const KernelCostModel& model,
                  const std::string& path) {
  if (profile.devices.empty()) {
    throw FormatError(
        profile.file, "",
        fmt::format("does not say on which GPU it was recorded, and {} is of {}; record "
                    "again",
                    path, model.device()));
  }
  for (const std::string& device : profile.devices) {
    if (device == model.device()) continue;
    throw FormatError(
        path, "/device",
        fmt::format("is {}, and {} was recorded on {}; merge into a model of that GPU",
                    model.device(), profile.file, device));
  }
}

/// Rows by table, in the order of the profile.
using NewTables = std::vector<std::pair<OpKey, std::vector<CostRow>>>;

NewTables tables_of(const ParsedProfile& profile, Watts idle, MergedCosts& merged) {
  NewTables tables;
  for (const RangeRecord& range : profile.ranges) {
    const auto point = read_op_point(range.name);
    if (range.executions.empty()) continue;
    const auto leave_out = [&](const std::string& why) {
      merged.left_out.push_back(fmt::format("{}: {}", range.name, why));
    };
    if (!point) {
      leave_out("names no op with shape, dtype and tokens (docs/parse.md)");
      continue;
    }
    const CostRow row = row_of(*point, range.executions, idle);
    if (const std::string problem = problem_with(*point, row); !problem.empty()) {
      leave_out(problem);
      continue;
    }
    auto table = std::ranges::find(tables, point->key, &NewTables::value_type::first);
    if (table == tables.end()) table = tables.insert(table, {point->key, {}});
    if (std::ranges::none_of(table->second, [&](const CostRow& r) { return same_point(r, row); })) {
      table->second.push_back(row);
      ++merged.rows;
    } else {
      leave_out("is a second name of the same point");
    }
  }
  return tables;
}

/// The new rows, and those old ones that they do not replace.
std::vector<CostRow> joined(const CostTable* old, std::vector<CostRow> rows) {
  if (old != nullptr) {
    const std::size_t fresh = rows.size();
    for (const CostRow& row : old->rows()) {
      const auto end = rows.begin() + static_cast<std::ptrdiff_t>(fresh);
      const bool replaced =
          std::any_of(rows.begin(), end, [&](const CostRow& r) { return same_point(r, row); });
      if (!replaced) rows.push_back(row);
    }
  }
  std::ranges::sort(rows, row_before);
  return rows;
}

nlohmann::ordered_json read_ordered(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return nlohmann::ordered_json::parse(in);  // it was loaded before
}

}  // namespace

void merge_tables(const std::vector<CostTable>& fresh, const std::string& path) {
  const KernelCostModel model = KernelCostModel::load(path);
  nlohmann::ordered_json file = read_ordered(path);
  std::vector<CostTable> tables;
  std::vector<std::optional<std::size_t>> places;  // of tables that are there
  for (const CostTable& table : fresh) {
    const auto old = std::ranges::find(model.tables(), table.key(), &CostTable::key);
    const bool there = old != model.tables().end();
    const auto place = static_cast<std::size_t>(old - model.tables().begin());
    if (there && old->source() != table.source()) {
      throw FormatError(
          path, fmt::format("/entries/{}", place),
          fmt::format("has {} from {}, which rows from {} must not mix with; remove it, "
                      "or merge into a copy without it",
                      to_string(table.key()), to_string(old->source()), to_string(table.source())));
    }
    tables.emplace_back(table.key(), table.source(),
                        table.method().empty() && there ? old->method() : table.method(),
                        joined(there ? &*old : nullptr, table.rows()));
    places.push_back(there ? std::optional(place) : std::nullopt);
  }
  // Only these entries change: what else the file says, also to people, stays as it is.
  nlohmann::ordered_json written = to_json(KernelCostModel(model.header(), std::move(tables)));
  nlohmann::ordered_json& entries = file.at("entries");
  for (std::size_t i = 0; i < places.size(); ++i) {
    if (places[i]) {
      entries[*places[i]] = std::move(written.at("entries")[i]);
    } else {
      entries.push_back(std::move(written.at("entries")[i]));
    }
  }
  const std::string text = json_text(file, 1) + "\n";
  KernelCostModel::from_json(parse_json(text, path), path);  // refuses unknown ops
  write_file_atomically(path, text);
}

MergedCosts merge_costs(const ParsedProfile& profile, const std::string& path) {
  const CostSource source = source_of(profile);
  const KernelCostModel model = KernelCostModel::load(path);
  check_device(profile, model, path);
  MergedCosts merged;
  std::vector<CostTable> tables;
  for (auto& [key, rows] : tables_of(profile, model.active_idle(), merged)) {
    std::ranges::sort(rows, row_before);
    tables.emplace_back(key, source, "", std::move(rows));
  }
  if (tables.empty()) {
    throw FormatError(profile.file, "",
                      fmt::format("has no range that is a row of a cost model{}",
                                  merged.left_out.empty() ? "" : "; " + merged.left_out.front()));
  }
  merged.tables = static_cast<int>(tables.size());
  merge_tables(tables, path);
  return merged;
}

}  // namespace thermoe
