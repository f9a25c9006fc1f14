// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace thermoe {

/// Writes all of `bytes`, whatever signals come meanwhile, also into a slow pipe that is set not to
/// block. Returns 0, or the errno that stopped it.
int write_all(int fd, std::string_view bytes);

}  // namespace thermoe
