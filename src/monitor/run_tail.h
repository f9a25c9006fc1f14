// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/csv_cells.h"
#include "core/units.h"
#include "monitor/monitor_view.h"
#include "report/metrics_columns.h"

namespace thermoe {

/// Follows a run's folder while the run writes it (docs/experiments.md explains the files).
///
/// Each `update` reads the whole new lines of metrics.csv. A line that is not finished yet is left
/// for the next one; one that cannot be read (a killed run's) is passed over. Of a long file only
/// the end is read at first. A file that was replaced is read anew.
class RunTail {
 public:
  /// Throws UsageError if the folder cannot become one of a run: a file, a place that does not
  /// exist, or a folder with other things in it. One that is still empty or about to be made is
  /// waited for.
  explicit RunTail(std::string folder);

  /// Reads what is new; `now` is any clock's, for `RunView::quiet_for`. Throws FormatError for a
  /// config.json or a header that is none of a run.
  void update(Seconds now);

  const RunView& view() const { return view_; }
  /// The GPU as the run's sensors saw it in the newest row; empty until there is one.
  const std::optional<GpuView>& gpu() const { return gpu_; }

 private:
  void read_config();
  void read_device();
  bool open_metrics();
  void take_header(std::string_view line);
  void take_row(std::string_view line);
  void take_gpu();
  void take_control();
  std::string_view cell(Metric column) const;
  std::optional<double> number(Metric column) const;

  std::string folder_;
  std::vector<std::string> strategies_{};  // in the run's order
  bool configured_ = false;
  std::uint64_t inode_ = 0;
  std::uint64_t offset_ = 0;  // of the first byte not yet taken
  std::map<std::string, std::size_t, std::less<>> columns_{};
  CsvCells cells_{};  // of the row being taken
  std::optional<Seconds> changed_at_{};
  RunView view_{};
  std::optional<GpuView> gpu_{};
};

}  // namespace thermoe
