// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace thermoe {

/// Columns that a terminal uses for this UTF-8 text: two for East Asian wide characters and emoji,
/// none for combining marks. The text holds no control characters (`printable`).
int display_width(std::string_view text);

/// The text without what would break a line: control and direction characters go, bytes that are no
/// UTF-8 become U+FFFD. With `unicode` false, the view's own signs get their ASCII form (° goes, –
/// becomes -, λ lambda) and everything else beyond ASCII a '?'.
std::string printable(std::string_view text, bool unicode);

/// The same for text of several lines, which stay lines.
std::string printable_lines(std::string_view text);

/// The text itself, or as much of it as fits into `columns` with an ellipsis (… or ~). The text is
/// printable.
std::string fit(std::string_view text, int columns, bool unicode);

/// Spaces on the right up to `columns`.
std::string padded(std::string text, int columns);

}  // namespace thermoe
