// SPDX-License-Identifier: Apache-2.0
#include "monitor/render.h"

#include <fmt/format.h>

#include <algorithm>

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
  if (!view.selection.empty()) page.paragraph(view.selection, Style::kDim);
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

/// As much detail as fits; more lines than rows where not even the least does.
std::vector<std::string> fitted(const MonitorView& view, const Terminal& terminal) {
  std::vector<std::string> lines;
  for (const Detail detail :
       {Detail::kTall, Detail::kFull, Detail::kNumbers, Detail::kCompact, Detail::kLine}) {
    // Without an end to the page, a minute of history would only push the numbers apart.
    if (terminal.rows <= 0 && detail == Detail::kTall) continue;
    lines = page_of(view, terminal, detail).lines();
    if (terminal.rows <= 0 || lines.size() <= static_cast<std::size_t>(terminal.rows)) break;
  }
  return lines;
}

/// The title stays, and the last row is the footer's.
ScrollRange range_of(const std::vector<std::string>& lines, const Terminal& terminal) {
  const int count = static_cast<int>(lines.size());
  if (terminal.rows <= 0 || count <= terminal.rows) return {};
  const int page = std::max(0, terminal.rows - 2);
  return {.most = count - 1 - page, .page = page};
}

/// Which part is shown, and the keys; in as many words as there is room for.
std::string footer(const MonitorView& view, const Terminal& terminal, int first,
                   const ScrollRange& range) {
  const std::string part =
      printable(fmt::format("{}–{} of {}", first + 1, first + range.page, range.most + range.page),
                terminal.unicode);
  std::vector<std::string> choices = {part + " lines: enlarge the terminal", part};
  if (view.keys) {
    choices = {part + " lines  arrows, j k, PgUp, PgDn scroll  q quits",
               part + "  j k PgUp PgDn  q quits", part + "  q quits"};
  }
  for (const std::string& words : choices) {
    if (display_width(words) <= terminal.columns) return words;
  }
  return fit(choices.back(), terminal.columns, terminal.unicode);
}

}  // namespace

std::vector<std::string> render(const MonitorView& view, const Terminal& terminal) {
  std::vector<std::string> lines = fitted(view, terminal);
  const ScrollRange range = range_of(lines, terminal);
  if (range.most == 0) return lines;
  const int first = std::clamp(view.scroll, 0, range.most);
  std::vector<std::string> frame = {lines.front()};
  const auto begin = lines.begin() + 1 + first;
  frame.insert(frame.end(), begin, begin + range.page);
  frame.push_back(footer(view, terminal, first, range));
  frame.resize(std::min(frame.size(), static_cast<std::size_t>(terminal.rows)));
  return frame;
}

ScrollRange scroll_range(const MonitorView& view, const Terminal& terminal) {
  return range_of(fitted(view, terminal), terminal);
}

std::vector<std::string> render_lines(const MonitorView& view, const Terminal& terminal) {
  Page page(terminal);
  for (const GpuView& gpu : view.gpus) add_gpu(page, gpu, Detail::kLine);
  add_host(page, view.host, view.host_stale_for, Detail::kLine);
  return page.lines();
}

}  // namespace thermoe
