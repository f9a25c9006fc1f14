// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace thermoe {

/// Breaks `text` at blanks into lines of at most `width` characters with `indent` blanks before all
/// but the first, which starts behind `used` characters that stand there already. Words longer than
/// a line keep one of their own. Lines of `text` that start with "$ " are commands: they are put on
/// a line of their own and never broken, so that they can be copied. Ends without a line end.
std::string wrapped(std::string_view text, std::size_t width, std::size_t indent, std::size_t used);

}  // namespace thermoe
