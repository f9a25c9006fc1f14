// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "metrics/metrics_board.h"
#include "monitor/monitor_session.h"

namespace thermoe {

/// Hands what a monitor reads to a board of metrics.
class PublishedSnapshots {
 public:
  /// Nothing is published where `board` is null; else it must outlive this. `period` is the time
  /// between two readings.
  PublishedSnapshots(MetricsBoard* board, Seconds period);
  /// In the order of their times.
  void publish(const std::vector<LabelledSnapshot>& fresh);

 private:
  void fill_in(const std::string& source, GpuReading& gpu);

  MetricsBoard* board_;
  Seconds keep_;
  std::map<std::pair<std::string, unsigned>, Reading<Joules>> energy_{};  // by source and index
};

}  // namespace thermoe
