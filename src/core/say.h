// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace thermoe {

/// Writes `text` to standard error at once, without a line break of its own. Never throws: where
/// standard error is closed, or its disk is full, the message is lost and the program goes on.
void say(std::string_view text);

}  // namespace thermoe
