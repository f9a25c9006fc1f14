// SPDX-License-Identifier: Apache-2.0
#include "cost/step_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/atomic_file.h"
#include "core/csv_reader.h"
#include "core/errors.h"
#include "core/json_file.h"
#include "core/terminal_text.h"

namespace thermoe {
namespace {

constexpr double kMostSequences = 1e9;
constexpr double kLeastMilliseconds = 1e-3;
constexpr double kMostMilliseconds = 1e6;
constexpr double kMostJoules = 1e6;
constexpr double kMostExperts = 1 << 20;

/// A field of a row, and what it may be.
struct Field {
  const char* name;
  bool required;
  double low;
  double high;
  bool whole = false;
};
constexpr Field kBatch{"batch", true, 1.0, kMostSequences};
constexpr Field kActive{"active_experts", true, 0.0, kMostExperts};
constexpr Field kStep{"step_ms", true, kLeastMilliseconds, kMostMilliseconds};
constexpr Field kEnergy{"step_j", false, 0.0, kMostJoules};
constexpr Field kGraph{"graph_size", false, 1.0, 1 << 30, true};
constexpr Field kContext{"context", false, 0.0, kMostSequences};

/// `value` of a field gives its number in a row, or nothing.
template <class Value>
StepRow row_of(const Value& value, const std::string& place) {
  StepRow row{.batch = *value(kBatch),
              .active_experts = *value(kActive),
              .step = Seconds(1e-3 * *value(kStep)),
              .context = value(kContext),
              .place = place};
  if (const auto joules = value(kEnergy)) row.energy = Joules(*joules);
  if (const auto size = value(kGraph)) row.graph_size = static_cast<int>(*size);
  return row;
}

std::vector<StepRow> read_json(const std::string& path) {
  const nlohmann::json json = read_json_file(path);
  JsonObject root(json, path);
  root.ignore("description");
  const nlohmann::json& list = root.array("rows");
  root.finish();
  std::vector<StepRow> rows;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string key = fmt::format("/rows/{}", i);
    JsonObject object(list[i], path, key);
    const auto value = [&](const Field& f) -> std::optional<double> {
      if (f.whole && object.given(f.name)) {
        return static_cast<double>(object.integer(f.name, static_cast<std::int64_t>(f.low),
                                                  static_cast<std::int64_t>(f.high)));
      }
      return f.required ? object.number(f.name, f.low, f.high)
                        : object.optional_number(f.name, f.low, f.high);
    };
    rows.push_back(row_of(value, key));
    object.finish();
  }
  return rows;
}

double checked(const CsvReader& csv, const Field& field, double value) {
  const bool sound =
      value >= field.low && value <= field.high && (!field.whole || value == std::floor(value));
  if (sound) return value;
  throw FormatError(csv.path(), fmt::format("line {}, {}", csv.line(), field.name),
                    fmt::format("is {:g}, must be a {}number within [{:g}, {:g}]", value,
                                field.whole ? "whole " : "", field.low, field.high));
}

void refuse_unknown_columns(const CsvReader& csv) {
  const std::vector<std::string> known = {kBatch.name,  kActive.name, kStep.name,
                                          kEnergy.name, kGraph.name,  kContext.name};
  for (const std::string& column : csv.columns()) {
    if (std::ranges::find(known, column) != known.end()) continue;
    const auto near = nearest_name(column, known);
    throw FormatError(
        csv.path(), fmt::format("{}, {}", csv.header_place(), column),
        fmt::format("is no column of step rows{}; they have {}",
                    near ? fmt::format(" (did you mean \"{}\"?)", *near) : "",
                    "batch, active_experts, step_ms, and may have step_j, graph_size, "
                    "context"));
  }
}

std::vector<StepRow> read_csv(const std::string& path) {
  CsvReader csv(path, CsvReader::LastLine::kMayBeWhole);
  refuse_unknown_columns(csv);
  const auto value = [&](const Field& field) -> std::optional<double> {
    const auto column = field.required ? csv.need(field.name) : csv.find(field.name);
    if (!column) return std::nullopt;
    const auto number = csv.number(*column);
    if (number) return checked(csv, field, *number);
    if (!field.required) return std::nullopt;
    throw FormatError(path, fmt::format("line {}, {}", csv.line(), field.name),
                      "is empty; each row needs it");
  };
  std::vector<StepRow> rows;
  while (csv.next()) rows.push_back(row_of(value, fmt::format("line {}", csv.line())));
  return rows;
}

bool begins_as_object(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  char first = 0;
  return in >> std::ws >> first && first == '{';
}

}  // namespace

std::vector<StepRow> read_step_rows(const std::string& path) {
  std::vector<StepRow> rows = begins_as_object(path) ? read_json(path) : read_csv(path);
  if (rows.empty()) throw FormatError(path, "", "has no rows; a fit needs at least one");
  return rows;
}

void write_step_rows(const std::vector<StepRow>& rows, const std::string& comment,
                     const std::string& path) {
  std::string text = fmt::format("# {}\n", printable(comment, true));
  std::vector<const Field*> fields{&kBatch, &kActive, &kStep, &kEnergy, &kGraph, &kContext};
  const auto value = [](const StepRow& row, const Field& f) -> std::optional<double> {
    if (&f == &kBatch) return row.batch;
    if (&f == &kActive) return row.active_experts;
    if (&f == &kStep) return 1e3 * row.step.value;
    if (&f == &kEnergy) return row.energy ? std::optional(row.energy->value) : std::nullopt;
    if (&f == &kGraph) return row.graph_size;
    return row.context;
  };
  std::erase_if(fields, [&](const Field* f) {
    return std::ranges::none_of(rows,
                                [&](const StepRow& row) { return value(row, *f).has_value(); });
  });
  const auto line = [&](const auto& cell) {
    for (std::size_t i = 0; i < fields.size(); ++i) text += (i == 0 ? "" : ",") + cell(*fields[i]);
    text += '\n';
  };
  line([](const Field& f) { return std::string(f.name); });
  for (const StepRow& row : rows) {
    line([&](const Field& f) {
      const auto number = value(row, f);
      return number ? fmt::format("{:.6g}", *number) : std::string();
    });
  }
  write_file_atomically(path, text);
}

}  // namespace thermoe
