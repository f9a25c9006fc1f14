// SPDX-License-Identifier: Apache-2.0
#include "core/terminal_text.h"

#include <algorithm>
#include <array>

namespace thermoe {
namespace {

constexpr char32_t kBroken = 0xFFFD;

struct Range {
  char32_t first, last;
};

template <std::size_t n>
bool within(const std::array<Range, n>& ranges, char32_t c) {
  return std::ranges::any_of(ranges, [c](Range r) { return c >= r.first && c <= r.last; });
}

// Unicode's East Asian Width W and F in blocks, and emoji: enough for names of devices and folders.
constexpr std::array<Range, 14> kWide = {{{0x1100, 0x115F},
                                          {0x2E80, 0x303E},
                                          {0x3041, 0x33FF},
                                          {0x3400, 0x4DBF},
                                          {0x4E00, 0x9FFF},
                                          {0xA000, 0xA4CF},
                                          {0xAC00, 0xD7A3},
                                          {0xF900, 0xFAFF},
                                          {0xFE30, 0xFE6F},
                                          {0xFF00, 0xFF60},
                                          {0xFFE0, 0xFFE6},
                                          {0x1F300, 0x1F64F},
                                          {0x1F680, 0x1F9FF},
                                          {0x20000, 0x3FFFD}}};
constexpr std::array<Range, 5> kCombining = {
    {{0x300, 0x36F}, {0x1AB0, 0x1AFF}, {0x20D0, 0x20FF}, {0x200B, 0x200D}, {0xFE00, 0xFE0F}}};
// Controls, and characters that turn the direction of the line or end it.
constexpr std::array<Range, 6> kHarmful = {{{0x0, 0x1F},
                                            {0x7F, 0x9F},
                                            {0x200E, 0x200F},
                                            {0x2028, 0x202E},
                                            {0x2060, 0x206F},
                                            {0xFEFF, 0xFEFF}}};

int width_of(char32_t c) {
  if (within(kCombining, c)) return 0;
  return within(kWide, c) ? 2 : 1;
}

/// Takes the next character off `text`, which is not empty.
char32_t next(std::string_view& text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  const std::size_t length = lead < 0x80                   ? 1
                             : lead >= 0xC2 && lead < 0xE0 ? 2
                             : lead >= 0xE0 && lead < 0xF0 ? 3
                             : lead >= 0xF0 && lead < 0xF5 ? 4
                                                           : 0;
  char32_t c = length == 1 ? lead : lead & (0x7FU >> length);
  bool good = length > 0 && length <= text.size();
  for (std::size_t i = 1; good && i < length; ++i) {
    good = (byte(i) & 0xC0U) == 0x80;
    c = (c << 6U) | (byte(i) & 0x3FU);
  }
  constexpr char32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  good = good && c >= kSmallest[length] && c <= 0x10FFFF && (c < 0xD800 || c > 0xDFFF);
  text.remove_prefix(good ? length : 1);
  return good ? c : kBroken;
}

void append(std::string& text, char32_t c) {
  const auto tail = [&](unsigned shift) {
    text += static_cast<char>(0x80U | ((c >> shift) & 0x3FU));
  };
  if (c < 0x80) {
    text += static_cast<char>(c);
  } else if (c < 0x800) {
    text += static_cast<char>(0xC0U | (c >> 6U));
    tail(0);
  } else if (c < 0x10000) {
    text += static_cast<char>(0xE0U | (c >> 12U));
    tail(6);
    tail(0);
  } else {
    text += static_cast<char>(0xF0U | (c >> 18U));
    tail(12);
    tail(6);
    tail(0);
  }
}

std::string_view ascii(char32_t c) {
  switch (c) {
    case U'°':
      return "";
    case U'–':
    case U'−':
      return "-";
    case U'…':
      return "~";
    case U'λ':
      return "lambda";
    case U'’':
      return "'";
    case U'×':
      return "x";
    default:
      return width_of(c) == 0 ? "" : "?";
  }
}

}  // namespace

int display_width(std::string_view text) {
  int width = 0;
  while (!text.empty()) width += width_of(next(text));
  return width;
}

std::string printable(std::string_view text, bool unicode) {
  std::string clean;
  while (!text.empty()) {
    const char32_t c = next(text);
    if (c == U'\t' || c == U'\n' || c == U'\r') {
      clean += ' ';
    } else if (within(kHarmful, c)) {
      continue;
    } else if (unicode || c < 0x80) {
      append(clean, c);
    } else {
      clean += ascii(c);
    }
  }
  return clean;
}

std::string printable_lines(std::string_view text) {
  std::string clean;
  for (std::size_t end = 0; end != text.npos; text.remove_prefix(std::min(end + 1, text.size()))) {
    end = text.find('\n');
    clean += printable(text.substr(0, end), true);
    if (end != text.npos) clean += '\n';
  }
  return clean;
}

std::string fit(std::string_view text, int columns, bool unicode) {
  if (columns <= 0) return "";
  if (display_width(text) <= columns) return std::string(text);
  std::string_view rest = text;
  std::size_t kept = 0;
  for (int width = 0; !rest.empty();) {
    width += width_of(next(rest));
    if (width > columns - 1) break;
    kept = text.size() - rest.size();
  }
  return std::string(text.substr(0, kept)) + (unicode ? "…" : "~");
}

std::string padded(std::string text, int columns) {
  text.append(static_cast<std::size_t>(std::max(0, columns - display_width(text))), ' ');
  return text;
}

}  // namespace thermoe
