// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "core/terminal_text.h"
#include "monitor/gauges.h"
#include "monitor/panels.h"

namespace thermoe {
namespace {

constexpr int kIndent = 2;
constexpr int kTall = 4;         // lines
constexpr int kSideBySide = 76;  // columns from which two trends share a line

std::string range_words(const Trend& trend) {
  const auto range = extent(trend.series, trend.now);
  if (!range) return "no readings yet";
  const std::string low = fmt::format("{:.{}f}", range->low, trend.decimals);
  const std::string high = fmt::format("{:.{}f}", range->high, trend.decimals);
  const std::string unit = trend.unit.empty() ? "" : " " + trend.unit;
  return low == high ? low + unit : low + "–" + high + unit;
}

/// How the parts of a trend share a line.
struct Layout {
  int columns = 0;  ///< of one trend
  int label = 0;
  int range = 0;
  int height = 1;
  bool unicode = true;
};

/// The trend's lines as items of exactly `layout.columns`; label and range stand on the last.
std::vector<Item> trend_items(const Trend& trend, const Layout& layout) {
  const int width = std::clamp(layout.columns - layout.label - layout.range - 2, 4, 120);
  std::vector<Item> items;
  for (std::string& line : sparklines(trend.series, trend.now, width, layout.height,
                                      trend.least_span, layout.unicode)) {
    const bool last = items.size() + 1 == static_cast<std::size_t>(layout.height);
    const std::string label = last ? printable(trend.label, layout.unicode) : "";
    const std::string range = last ? " " + printable(range_words(trend), layout.unicode) : "";
    items.push_back({{.text = padded(label, layout.label) + " ", .style = Style::kDim},
                     {.text = std::move(line), .style = Style::kTrend},
                     {.text = padded(range, layout.range + 1), .style = Style::kDim}});
  }
  return items;
}

}  // namespace

void add_trends(Page& page, const Trend& left, const Trend& right, Detail detail) {
  const Terminal& terminal = page.terminal();
  const auto widest = [&](const std::string& a, const std::string& b) {
    return std::max(display_width(printable(a, terminal.unicode)),
                    display_width(printable(b, terminal.unicode)));
  };
  const bool beside = terminal.columns >= kSideBySide;
  const Layout layout{
      .columns = beside ? (terminal.columns - kIndent - 2) / 2 : terminal.columns - kIndent,
      .label = widest(left.label, right.label),
      .range = widest(range_words(left), range_words(right)),
      .height = detail == Detail::kTall ? kTall : 1,
      .unicode = terminal.unicode};
  const auto first = trend_items(left, layout);
  const auto second = trend_items(right, layout);
  if (beside) {
    for (std::size_t i = 0; i < first.size(); ++i) page.flow({first[i], second[i]}, kIndent);
    return;
  }
  for (const auto& items : {first, second}) {
    for (const Item& item : items) page.flow({item}, kIndent);
  }
}

}  // namespace thermoe
