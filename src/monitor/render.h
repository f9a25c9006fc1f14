// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "monitor/monitor_view.h"
#include "monitor/terminal.h"

namespace thermoe {

/// A frame as lines, none wider than the terminal and no more than its rows: where they do not
/// suffice, sparklines go first, then each GPU shrinks to a line, then what is below the title
/// scrolls. Pure: no clock, device or environment.
std::vector<std::string> render(const MonitorView& view, const Terminal& terminal);

/// How that frame scrolls.
struct ScrollRange {
  int most = 0;  ///< the largest `view.scroll` that still fills the frame; 0 where all fits
  int page = 0;  ///< lines that scroll at a time
};
ScrollRange scroll_range(const MonitorView& view, const Terminal& terminal);

/// The same in a line a GPU (and one a run), for output that is no terminal.
std::vector<std::string> render_lines(const MonitorView& view, const Terminal& terminal);

}  // namespace thermoe
