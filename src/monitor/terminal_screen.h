// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <termios.h>

#include <string>
#include <vector>

#include "monitor/terminal.h"

namespace thermoe {

/// Columns and rows of the terminal behind `fd`; 80 x 24 where it does not say.
Terminal terminal_size(int fd);

/// Writes all of it. Throws WriteError.
void write_output(int fd, std::string_view text);

/// The terminal's alternate screen with the cursor hidden, and its keyboard without echo and line
/// editing, for as long as the object lives: whatever ends the scope, the terminal is as before.
class TerminalScreen {
 public:
  /// `input` and `output` are terminals; `input` is -1 where there is no keyboard.
  TerminalScreen(int input, int output);
  ~TerminalScreen();
  TerminalScreen(const TerminalScreen&) = delete;
  TerminalScreen& operator=(const TerminalScreen&) = delete;

  /// Draws a frame over the last one in a single write: no line is cleared before it is written
  /// anew, so nothing flickers. Throws WriteError.
  void draw(const std::vector<std::string>& lines, const Terminal& size);

  /// Gives the terminal back, and takes it again, around a stop of the process (Ctrl-Z).
  void leave();
  void enter();

 private:
  int input_;
  int output_;
  termios before_{};
  bool keyboard_ = false;  // before_ holds its settings
  bool entered_ = false;
  int columns_ = 0;  // of the last frame
  int rows_ = 0;
};

}  // namespace thermoe
