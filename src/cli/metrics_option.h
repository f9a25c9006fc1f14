// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>
#include <string>

#include "core/clock.h"
#include "metrics/metrics_board.h"
#include "metrics/metrics_server.h"

namespace thermoe {

/// --metrics and --metrics-address, as they were given.
struct MetricsFlags {
  std::optional<int> port{};
  std::string address = MetricsAddress{}.host;
};
/// Adds both; returns --metrics.
CLI::Option* add_metrics_options(CLI::App& command, MetricsFlags& flags);

/// What is served while a command runs.
class ServedMetrics {
 public:
  /// Says on standard error where it serves. Throws UsageError for an address that it cannot have.
  explicit ServedMetrics(const MetricsFlags& flags);
  MetricsBoard& board() { return board_; }

 private:
  SteadyClock clock_{};
  MetricsBoard board_;
  MetricsServer server_;  // last: ends before what it shows
};

/// Absent unless --metrics was given.
std::unique_ptr<ServedMetrics> serve_metrics(const MetricsFlags& flags);

}  // namespace thermoe
