// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>

namespace thermoe {

/// A variable of the environment, if it is set; set to nothing is something else.
std::optional<std::string_view> environment_variable(const char* name);

/// By POSIX's order of the variables. Not by setlocale(): a container rarely has the locale that
/// the terminal outside it speaks.
bool speaks_utf8();

/// Whether standard output is a terminal that moves its cursor.
bool output_is_terminal();

/// Whether it is one and colours are welcome (no-color.org).
bool output_has_colour();

}  // namespace thermoe
