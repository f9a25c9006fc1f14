// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "monitor/monitor_view.h"
#include "monitor/page.h"

namespace thermoe {

/// How much of a device a page shows.
enum class Detail {
  kTall,     ///< with the last minute four lines high
  kFull,     ///< on one line
  kNumbers,  ///< without
  kCompact,  ///< the most telling numbers, folded where lines are short
  kLine,     ///< the same on one line a GPU, cut where it is short
};

inline bool shows_trends(Detail detail) {
  return detail == Detail::kTall || detail == Detail::kFull;
}

void add_gpu(Page& page, const GpuView& gpu, Detail detail);
void add_host(Page& page, const std::vector<HostReading>& host,
              const std::optional<Seconds>& stale_for, Detail detail);
void add_run(Page& page, const RunView& run, Detail detail);
/// What the source says of itself: silent, lost, ended, problems.
void add_feed(Page& page, const FeedView& feed, bool any_gpu);

/// A labelled number over the last minute.
struct Trend {
  std::string label{};
  const Series& series;
  Seconds now{};
  double least_span = 0.0;  ///< of the scale
  std::string unit{};
  int decimals = 0;
};
/// Two trends, side by side where there is room. Requires a detail that shows them.
void add_trends(Page& page, const Trend& left, const Trend& right, Detail detail);

}  // namespace thermoe
