// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "report/csv_file.h"
#include "report/expert_load.h"
#include "report/metrics_columns.h"

namespace thermoe {

/// Writes a run's metrics.csv (a row a strategy and tick, units in the column names),
/// expert_usage.csv (tokens each expert received, a row a layer and second) and expert_bias.csv
/// (its selection bias, mean of the second). Every row reaches the kernel before `add` returns: a
/// killed run leaves the files readable. docs/experiments.md explains the columns.
class MetricsLogger {
 public:
  /// `folder` must exist. Throws WriteError.
  MetricsLogger(const std::string& folder, int layers, int experts);

  /// Throws WriteError naming the file (a full disk).
  void add(const MetricsRow& row);
  /// Writes the usage and biases of a second that has begun. Call at a strategy's end.
  void finish_strategy();

 private:
  void add_bias(const RoutingPlan* plan);
  void write_second();

  CsvFile metrics_;
  CsvFile usage_;
  CsvFile bias_;
  ExpertUsage second_;
  std::vector<double> bias_sums_;  // [layers, experts], of the second
  int ticks_ = 0;                  // of the second
  std::string strategy_{};
  Seconds second_start_{};
  Seconds last_{};
};

}  // namespace thermoe
