// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "monitor/monitor_options.h"
#include "monitor/monitor_session.h"
#include "monitor/terminal.h"

namespace thermoe {

std::string utc_text(WallTime time);          ///< 2026-11-23T05:12:31.123Z
std::string time_of_day_text(WallTime time);  ///< 05:12:31, local

/// Output that grows at its end: CSV, JSON lines, or a line a device for people without a terminal.
/// Troubles of a source are told once each when they begin, in JSON's stream or on standard error.
class Recorder {
 public:
  /// `session` must outlive the recorder.
  Recorder(const MonitorRequest& request, const MonitorSession& session, const Terminal& terminal);

  /// Writes what is new. Throws WriteError.
  void write(const std::vector<LabelledSnapshot>& fresh);

 private:
  std::string text_of(const std::vector<LabelledSnapshot>& fresh);
  std::string plain_lines(const MonitorView& view);
  std::string run_words(const RunView& run);
  void tell_troubles(const MonitorView& view);

  MonitorRequest::Output output_;
  const MonitorSession& session_;
  Terminal terminal_;
  bool header_written_ = false;
  std::vector<std::string> told_{};  // by feed
  std::string run_told_{};
  std::string selection_told_{};
};

}  // namespace thermoe
