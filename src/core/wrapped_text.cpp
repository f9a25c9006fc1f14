// SPDX-License-Identifier: Apache-2.0
#include "core/wrapped_text.h"

#include <algorithm>

namespace thermoe {
namespace {

/// Appends the words of one paragraph; `column` is where the last line ends.
void append_words(std::string& out, std::string_view words, std::size_t width, std::size_t indent,
                  std::size_t column) {
  bool at_start = true;
  while (!words.empty()) {
    const std::size_t end = std::min(words.find(' '), words.size());
    const std::string_view word = words.substr(0, end);
    words.remove_prefix(std::min(end + 1, words.size()));
    if (word.empty()) continue;
    if (!at_start && column + 1 + word.size() > width) {
      out += '\n' + std::string(indent, ' ');
      column = indent;
      at_start = true;
    }
    if (!at_start) {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
    at_start = false;
  }
}

}  // namespace

std::string wrapped(std::string_view text, std::size_t width, std::size_t indent,
                    std::size_t used) {
  std::string out;
  bool first = true;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!first) out += '\n' + std::string(indent, ' ');
    if (line.substr(0, 2) == "$ ") {
      out += line;
    } else {
      append_words(out, line, width, indent, first ? used : indent);
    }
    first = false;
  }
  return out;
}

}  // namespace thermoe
