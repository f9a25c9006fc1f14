// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "cost/cost_table.h"
#include "profile/parsed_profile.h"

namespace thermoe {

/// What became of a profile's ranges in a cost model.
struct MergedCosts {
  int rows = 0;
  int tables = 0;
  std::vector<std::string> left_out{};  ///< ranges that are no row, and why
};

/// Puts what a profile measured into the cost model at `path`: of each range that an OpPoint names
/// the median latency of its executions, their spread and number, and, where they were sampled, the
/// energy above the model's active idle. Rows of the same point are replaced, tables of another
/// source are not touched. The file is replaced as a whole or not at all. Requires a profile that
/// was parsed with its executions. Throws FormatError or UsageError, naming the file, where the
/// model is of another GPU, has a table of another source in the way, or nothing can be merged.
MergedCosts merge_costs(const ParsedProfile& profile, const std::string& path);

/// Puts tables into the cost model at `path`, as above. Throws FormatError, naming the file, where
/// a table of another source is in the way or the file would be no sound cost model.
void merge_tables(const std::vector<CostTable>& tables, const std::string& path);

}  // namespace thermoe
