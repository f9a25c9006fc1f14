// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "core/snapshot.h"
#include "metrics/metrics_board.h"
#include "report/metrics_row.h"

namespace thermoe {

/// Publishes a run's ticks: what its sensors said, what its controller does, and the counters of
/// all its turns together. Energy is the machine's truth, as sensors' counters begin anew with each
/// machine.
class TickMetrics {
 public:
  /// `board` must outlive this.
  TickMetrics(MetricsBoard& board, std::string experiment);
  void add(const MetricsRow& row);

 private:
  void publish_hardware(const MetricsRow& row);
  void count(const ServingTick& tick);

  MetricsBoard& board_;
  std::string experiment_;
  GpuReading gpu_{};                // who it is, for ticks in which no sensor answers
  std::optional<Joules> energy_{};  // absent until a tick has one
  double steps_ = 0.0, tokens_ = 0.0;
  Seconds violation_{};
  std::optional<ServingValues> serving_{};  // absent until requests arrive
};

}  // namespace thermoe
