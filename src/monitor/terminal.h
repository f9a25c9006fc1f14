// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace thermoe {

/// What the view is drawn on.
struct Terminal {
  int columns = 80;
  int rows = 0;         ///< 0 = as many lines as there are
  bool colour = false;  ///< SGR escape codes
  bool unicode = true;  ///< otherwise ASCII only
};

}  // namespace thermoe
