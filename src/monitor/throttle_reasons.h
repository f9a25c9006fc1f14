// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace thermoe {

/// Why the clocks are not higher, lowest bit first.
struct ThrottleReason {
  std::string words{};
  bool harmful = false;  ///< heat or power takes clocks that the work would use
};

/// NVML's clocks event reasons (nvml.h, nvmlClocksEventReason*) in words; bits that it does not
/// name are given as "unknown reason 0x...". Empty for 0: nothing holds the clocks down.
std::vector<ThrottleReason> throttle_reasons(std::uint64_t bits);

}  // namespace thermoe
