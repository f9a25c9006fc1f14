// SPDX-License-Identifier: Apache-2.0
#include "monitor/terminal_screen.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstring>
#include <string_view>

#include "core/errors.h"
#include "core/terminal_text.h"
#include "core/write_all.h"

namespace thermoe {
namespace {

constexpr std::string_view kEnter = "\x1b[?1049h\x1b[?25l\x1b[2J\x1b[H";
constexpr std::string_view kLeave = "\x1b[0m\x1b[?25h\x1b[?1049l";
constexpr std::string_view kHome = "\x1b[H";
constexpr std::string_view kClearAll = "\x1b[2J";
constexpr std::string_view kClearLine = "\x1b[K";
constexpr std::string_view kClearBelow = "\x1b[J";

/// Without what `Page` put into a line to colour it.
std::string without_codes(std::string_view line) {
  std::string text;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] != '\x1b') {
      text += line[i];
      continue;
    }
    while (i < line.size() && line[i] != 'm') ++i;
  }
  return text;
}

}  // namespace

Terminal terminal_size(int fd) {
  Terminal terminal{.columns = 80, .rows = 24};
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) == 0) {
    if (size.ws_col > 0) terminal.columns = size.ws_col;
    if (size.ws_row > 0) terminal.rows = size.ws_row;
  }
  return terminal;
}

void write_output(int fd, std::string_view text) {
  const int error = write_all(fd, text);
  if (error == 0) return;
  throw WriteError(fmt::format("standard output: cannot be written: {}", std::strerror(error)));
}

TerminalScreen::TerminalScreen(int input, int output) : input_(input), output_(output) {
  keyboard_ = input_ >= 0 && ::tcgetattr(input_, &before_) == 0;
  try {
    enter();
  } catch (...) {  // no destructor runs: the keyboard is given back here
    leave();
    throw;
  }
}

TerminalScreen::~TerminalScreen() { leave(); }

void TerminalScreen::enter() {
  if (keyboard_) {
    termios raw = before_;
    // Ctrl-C and Ctrl-Z stay signals. Ctrl-S must not stop the output: the loop would hang in it.
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    raw.c_iflag &= ~static_cast<tcflag_t>(IXON);
    ::tcsetattr(input_, TCSANOW, &raw);
  }
  entered_ = true;  // from the first byte on there is something to undo
  columns_ = 0;
  write_output(output_, kEnter);
}

void TerminalScreen::leave() {
  if (!entered_) return;
  entered_ = false;
  // A destructor runs here, perhaps because the terminal is gone: what cannot be written is lost.
  [[maybe_unused]] const ssize_t written = ::write(output_, kLeave.data(), kLeave.size());
  if (keyboard_) ::tcsetattr(input_, TCSADRAIN, &before_);
}

void TerminalScreen::draw(const std::vector<std::string>& lines, const Terminal& size) {
  std::string frame;
  // After a change of size the terminal has folded the old lines in its own way.
  if (size.columns != columns_ || size.rows != rows_) frame += kClearAll;
  columns_ = size.columns;
  rows_ = size.rows;
  frame += kHome;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) frame += "\r\n";
    frame += lines[i];
    // After a full line the cursor still stands on its last column, which this would clear.
    if (display_width(without_codes(lines[i])) < size.columns) frame += kClearLine;
  }
  if (lines.size() < static_cast<std::size_t>(size.rows)) {
    frame += "\r\n";
    frame += kClearBelow;
  }
  write_output(output_, frame);
}

}  // namespace thermoe
