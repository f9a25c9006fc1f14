// SPDX-License-Identifier: Apache-2.0
#include "core/say.h"

#include <cstdio>

namespace thermoe {

void say(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

}  // namespace thermoe
