// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "monitor/terminal.h"

namespace thermoe {

/// What a piece of text means; colours only repeat what words say.
enum class Style { kPlain, kDim, kBold, kTrend, kGood, kWarning, kBad };

struct Span {
  std::string text{};
  Style style = Style::kPlain;
};

/// Text that stays on one line.
using Item = std::vector<Span>;

/// Lines of text for a terminal, none wider than it.
class Page {
 public:
  explicit Page(const Terminal& terminal) : terminal_(terminal) {}

  /// Items one after the other, two spaces apart, on as many lines as they need. One that is wider
  /// than a line is cut.
  void flow(std::vector<Item> items, int indent = 0);
  /// Words one after the other, on as many lines as they need.
  void paragraph(std::string_view text, Style style, int indent = 0);
  /// `right` at the right edge, left out where both do not fit.
  void edges(Item left, Item right);
  void blank() { lines_.emplace_back(); }

  const Terminal& terminal() const { return terminal_; }
  /// Lines so far, as the terminal shall receive them: no line breaks, no spaces at the end, and
  /// escape codes for styles where there is colour.
  std::vector<std::string> lines() const;

 private:
  Item clean(Item item) const;

  Terminal terminal_;
  std::vector<Item> lines_{};
};

}  // namespace thermoe
