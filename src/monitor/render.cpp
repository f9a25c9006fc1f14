// SPDX-License-Identifier: Apache-2.0
#include "monitor/render.h"

#include <fmt/format.h>

#include "core/terminal_text.h"
#include "monitor/page.h"
#include "monitor/panels.h"

namespace thermoe {
namespace {

void add_title(Page& page, const MonitorView& view) {
  Item left = {{"thermoe monitor", Style::kBold}};
  // First, so that no narrow terminal cuts it off.
  if (view.simulated && view.source != "simulated")
    left.push_back({"  simulated", Style::kWarning});
  left.push_back({.text = "  " + view.source});
  std::string right = view.time;
  if (view.keys) right += right.empty() ? "q quits" : "  q quits";
  page.edges(std::move(left), {{right, Style::kDim}});
}

Page page_of(const MonitorView& view, const Terminal& terminal, Detail detail) {
  Page page(terminal);
  const bool roomy = detail != Detail::kCompact && detail != Detail::kLine;
  add_title(page, view);
  for (const FeedView& feed : view.feeds) add_feed(page, feed, !view.gpus.empty());
  if (view.run) {
    if (roomy) page.blank();
    add_run(page, *view.run, detail);
  }
  for (const GpuView& gpu : view.gpus) {
    if (roomy) page.blank();
    add_gpu(page, gpu, detail);
  }
  if (!view.host.empty()) {
    if (roomy) page.blank();
    add_host(page, view.host, view.host_stale_for, detail);
  }
  return page;
}

}  // namespace

std::vector<std::string> render(const MonitorView& view, const Terminal& terminal) {
  std::vector<std::string> lines;
  for (const Detail detail :
       {Detail::kTall, Detail::kFull, Detail::kNumbers, Detail::kCompact, Detail::kLine}) {
    // Without an end to the page, a minute of history would only push the numbers apart.
    if (terminal.rows <= 0 && detail == Detail::kTall) continue;
    lines = page_of(view, terminal, detail).lines();
    if (terminal.rows <= 0 || lines.size() <= static_cast<std::size_t>(terminal.rows)) return lines;
  }
  const auto rows = static_cast<std::size_t>(terminal.rows);
  const std::size_t hidden = lines.size() - rows + 1;
  lines.resize(rows - 1);
  lines.push_back(fit(fmt::format("{} more lines: enlarge the terminal", hidden), terminal.columns,
                      terminal.unicode));
  return lines;
}

std::vector<std::string> render_lines(const MonitorView& view, const Terminal& terminal) {
  Page page(terminal);
  for (const GpuView& gpu : view.gpus) add_gpu(page, gpu, Detail::kLine);
  add_host(page, view.host, view.host_stale_for, Detail::kLine);
  return page.lines();
}

}  // namespace thermoe
