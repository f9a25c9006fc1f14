// SPDX-License-Identifier: Apache-2.0
#include "monitor/page.h"

#include <algorithm>
#include <utility>

#include "core/terminal_text.h"

namespace thermoe {
namespace {

std::string spaces(int count) {
  return std::string(static_cast<std::size_t>(std::max(0, count)), ' ');
}

int width(const Item& item) {
  int total = 0;
  for (const Span& span : item) total += display_width(span.text);
  return total;
}

const char* code(Style style) {
  switch (style) {
    case Style::kPlain:
      return "";
    case Style::kDim:
      return "\x1b[2m";
    case Style::kBold:
      return "\x1b[1m";
    case Style::kTrend:
      return "\x1b[36m";
    case Style::kGood:
      return "\x1b[32m";
    case Style::kWarning:
      return "\x1b[33m";
    case Style::kBad:
      return "\x1b[31m";
  }
  return "";
}

/// The line cut to the terminal's width.
Item cut(const Item& line, const Terminal& terminal) {
  if (width(line) <= terminal.columns) return line;
  Item kept;
  int left = terminal.columns;
  for (const Span& span : line) {
    kept.push_back({fit(span.text, left, terminal.unicode), span.style});
    const int wanted = display_width(span.text);
    if (wanted > left) break;
    left -= wanted;
    // What follows does not fit entirely, and must not vanish without an ellipsis.
    if (left == 0) {
      kept.back().text = fit(span.text + " ", wanted, terminal.unicode);
      break;
    }
  }
  return kept;
}

void trim(Item& line) {
  while (!line.empty()) {
    std::string& text = line.back().text;
    text.erase(text.find_last_not_of(' ') + 1);
    if (!text.empty()) return;
    line.pop_back();
  }
}

}  // namespace

Item Page::clean(Item item) const {
  for (Span& span : item) span.text = printable(span.text, terminal_.unicode);
  return item;
}

void Page::flow(std::vector<Item> items, int indent) {
  constexpr int kGap = 2;
  indent = std::min(indent, terminal_.columns / 4);
  Item line;
  int used = 0;
  for (Item& dirty : items) {
    Item item = clean(std::move(dirty));
    const int wanted = width(item);
    if (wanted == 0) continue;
    if (used > 0 && used + kGap + wanted > terminal_.columns) {
      lines_.push_back(std::move(line));
      line.clear();
      used = 0;
    }
    const int before = used == 0 ? indent : kGap;
    line.push_back({.text = spaces(before)});
    line.insert(line.end(), item.begin(), item.end());
    used += before + wanted;
  }
  if (used > 0) lines_.push_back(std::move(line));
}

void Page::paragraph(std::string_view text, Style style, int indent) {
  const std::string clean = printable(text, terminal_.unicode);
  indent = std::min(indent, terminal_.columns / 4);
  std::string_view rest = clean;
  std::string line;
  const auto finish = [&] {
    if (!line.empty()) lines_.push_back({{.text = spaces(indent)}, {line, style}});
    line.clear();
  };
  while (!rest.empty()) {
    const auto end = std::min(rest.find(' '), rest.size());
    const std::string_view word = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const int wanted = indent + display_width(line) + 1 + display_width(word);
    if (wanted > terminal_.columns) finish();
    if (!line.empty()) line += ' ';
    line += word;
  }
  finish();
}

void Page::edges(Item left, Item right) {
  Item line = clean(std::move(left));
  const Item end = clean(std::move(right));
  const int space = terminal_.columns - width(line) - width(end);
  if (space >= 2) {
    line.push_back({.text = spaces(space)});
    line.insert(line.end(), end.begin(), end.end());
  }
  lines_.push_back(std::move(line));
}

std::vector<std::string> Page::lines() const {
  std::vector<std::string> finished;
  for (const Item& wide : lines_) {
    Item line = cut(wide, terminal_);
    trim(line);
    std::string text;
    for (const Span& span : line) {
      const bool styled = terminal_.colour && span.style != Style::kPlain;
      text += styled ? code(span.style) + span.text + "\x1b[0m" : span.text;
    }
    finished.push_back(std::move(text));
  }
  return finished;
}

}  // namespace thermoe
