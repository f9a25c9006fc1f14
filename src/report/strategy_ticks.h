// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "report/metrics_columns.h"
#include "report/target_statistics.h"

namespace thermoe {

/// How often control fell back to the safe plan.
struct Fallbacks {
  int episodes = 0;
  std::int64_t ticks = 0;
  std::vector<std::string> reasons{};  ///< distinct, in order of appearance, the first few
  bool fallen = false;                 ///< in the newest tick

  /// Counts a tick; an empty reason means that control was at work.
  void add(std::string_view reason);
};

/// One strategy's ticks, as they are logged or read from a metrics.csv: column by column, SI units,
/// NaN where a cell is empty. Only the metrics that a report draws or counts are kept.
struct StrategyTicks {
  std::string name{};
  std::array<std::vector<double>, kMetrics> columns{};
  std::vector<double> energy{};  ///< J of each tick, NaN where nobody counted them
  // Seconds, where requests arrive: of each request and of each token; as a file has them, of each
  // tick's mean.
  std::vector<Weighted> to_first_token{}, between_tokens{};
  Fallbacks fallbacks{};

  /// The metrics that are kept.
  static std::span<const Metric> kept();
  std::span<const double> operator[](Metric metric) const {
    return columns[static_cast<std::size_t>(metric)];
  }
  std::vector<double>& column(Metric metric) { return columns[static_cast<std::size_t>(metric)]; }
  std::size_t count() const { return (*this)[Metric::kTime].size(); }

  void add(const MetricsRow& row);
};

}  // namespace thermoe
