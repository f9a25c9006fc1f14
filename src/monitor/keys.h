// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace thermoe {

/// How far to move what a screen shows; positive is down.
struct Scroll {
  int lines = 0;
  int pages = 0;
};

/// What keys ask for.
struct KeyPresses {
  bool quit = false;  ///< q
  Scroll scroll{};    ///< arrows, j and k; Page Up, Page Down and the space bar
};

/// Of bytes that a terminal sent, several keys perhaps. Keys that mean nothing here are passed
/// over, with all of their bytes: the letters of an escape sequence are no keys.
KeyPresses keys_of(std::string_view bytes);

}  // namespace thermoe
