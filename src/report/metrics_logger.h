// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "report/csv_file.h"
#include "report/expert_load.h"
#include "report/metrics_row.h"

namespace thermoe {

/// Writes a run's metrics.csv (a row a strategy and tick, units in the column names) and
/// expert_usage.csv (tokens each expert received, a row a layer and second). Every row reaches the
/// kernel before `add` returns: a killed run leaves both files readable. docs/experiments.md
/// explains the columns.
class MetricsLogger {
 public:
  /// `folder` must exist. Throws WriteError.
  MetricsLogger(const std::string& folder, int layers, int experts);

  /// Throws WriteError naming the file (a full disk).
  void add(const MetricsRow& row);
  /// Writes the usage of a second that has begun. Call at a strategy's end.
  void finish_strategy();

  static std::vector<std::string> columns(int layers);

 private:
  void write_usage();

  CsvFile metrics_;
  CsvFile usage_;
  ExpertUsage second_;
  std::string strategy_{};
  Seconds second_start_{};
  Seconds last_{};
};

}  // namespace thermoe
