// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/units.h"

namespace thermoe {

/// What somebody measured of whole decode steps of an engine, at one setting.
struct StepRow {
  double batch = 1.0;           ///< sequences decoded
  double active_experts = 0.0;  ///< mean distinct experts of a layer
  Seconds step{};
  std::optional<Joules> energy{};  ///< of the whole board in that time, idle included
  std::optional<int> graph_size{};
  std::optional<double> context{};
  std::string place{};  ///< "line 3" or "/rows/1", for messages
};

/// Reads rows from CSV, or from JSON if the file begins as an object (docs/cost-model.md, "Costs of
/// the whole step"). Throws FormatError naming file, row and field; also for a file without rows.
std::vector<StepRow> read_step_rows(const std::string& path);

/// Writes such a CSV, whole or not at all, under a line of comment. Throws WriteError.
void write_step_rows(const std::vector<StepRow>& rows, const std::string& comment,
                     const std::string& path);

}  // namespace thermoe
