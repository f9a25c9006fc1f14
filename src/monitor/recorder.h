// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "monitor/monitor_options.h"
#include "monitor/monitor_session.h"
#include "monitor/terminal.h"

namespace thermoe {

/// Time of day of a moment on the monitor's clock. The offset is taken once: times of a recording
/// then grow as its clock does, whatever happens to the machine's.
class TimeOfDay {
 public:
  explicit TimeOfDay(Seconds now);
  std::string utc(Seconds at) const;    ///< 2026-11-23T05:12:31.123Z
  std::string local(Seconds at) const;  ///< 05:12:31

 private:
  std::chrono::system_clock::time_point zero_;
};

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
  TimeOfDay time_;
  bool header_written_ = false;
  std::vector<std::string> told_{};  // by feed
  std::string run_told_{};
};

}  // namespace thermoe
