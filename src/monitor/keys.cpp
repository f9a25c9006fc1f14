// SPDX-License-Identifier: Apache-2.0
#include "monitor/keys.h"

#include <algorithm>

namespace thermoe {
namespace {

constexpr char kEscape = '\x1b';

/// Takes an escape sequence off `bytes`, which begin with one: "ESC [ 5 ~", "ESC O A", or ESC and
/// the key that was pressed with Alt.
std::string_view take_sequence(std::string_view& bytes) {
  std::size_t length = std::min<std::size_t>(2, bytes.size());
  if (length == 2 && (bytes[1] == '[' || bytes[1] == 'O')) {
    while (length < bytes.size() && (bytes[length] < '@' || bytes[length] > '~')) ++length;
    length = std::min(length + 1, bytes.size());
  }
  const std::string_view sequence = bytes.substr(0, length);
  bytes.remove_prefix(length);
  return sequence;
}

Scroll scroll_of(std::string_view sequence) {
  if (sequence == "\x1b[A" || sequence == "\x1bOA") return {.lines = -1};
  if (sequence == "\x1b[B" || sequence == "\x1bOB") return {.lines = 1};
  if (sequence == "\x1b[5~") return {.pages = -1};
  if (sequence == "\x1b[6~") return {.pages = 1};
  return {};
}

Scroll scroll_of(char key) {
  switch (key) {
    case 'k':
      return {.lines = -1};
    case 'j':
      return {.lines = 1};
    case ' ':
      return {.pages = 1};
    default:
      return {};
  }
}

}  // namespace

KeyPresses keys_of(std::string_view bytes) {
  KeyPresses keys;
  while (!bytes.empty()) {
    Scroll scroll;
    if (bytes.front() == kEscape) {
      scroll = scroll_of(take_sequence(bytes));
    } else {
      scroll = scroll_of(bytes.front());
      keys.quit = keys.quit || bytes.front() == 'q' || bytes.front() == 'Q';
      bytes.remove_prefix(1);
    }
    keys.scroll.lines += scroll.lines;
    keys.scroll.pages += scroll.pages;
  }
  return keys;
}

}  // namespace thermoe
