// SPDX-License-Identifier: Apache-2.0
#include "metrics/hostname.h"

#include <unistd.h>

#include <array>

namespace thermoe {

std::string hostname() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

}  // namespace thermoe
