// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "metrics/metrics_board.h"
#include "monitor/monitor_options.h"

namespace thermoe {

/// What the process's surroundings say about its output; read by the command.
struct OutputPlace {
  bool terminal = false;  ///< standard output is one that moves its cursor
  bool keyboard = false;  ///< standard input is a terminal
  bool colour = false;
  bool unicode = false;
};

/// Runs until it is ended and returns the exit code: 0 after q, --duration, --once or a recording's
/// end; 1 if --once got no answer; 128 + the signal after one. Writes to standard output; what is
/// no reading goes to standard error where the output is a recording. Where a driver hangs it ends
/// the process itself, with that code. Snapshots go to `board` too, if there is one. Throws
/// UsageError, FormatError or WriteError, with the terminal as it was before.
int run_monitor(const MonitorRequest& request, const OutputPlace& place, MetricsBoard* board);

}  // namespace thermoe
