// SPDX-License-Identifier: Apache-2.0
#include "monitor/throttle_reasons.h"

#include <fmt/format.h>

#include <string_view>

namespace thermoe {
namespace {

struct Known {
  std::uint64_t bit;
  std::string_view words;
  bool harmful;
};

constexpr Known kKnown[] = {
    {0x1, "idle", false},
    {0x2, "application clocks setting", false},
    {0x4, "software power cap", true},
    {0x8, "hardware slowdown", true},
    {0x10, "sync boost", false},
    {0x20, "software thermal slowdown", true},
    {0x40, "hardware thermal slowdown", true},
    {0x80, "hardware power brake", true},
    {0x100, "display clocks setting", false},
};

}  // namespace

std::vector<ThrottleReason> throttle_reasons(std::uint64_t bits) {
  std::vector<ThrottleReason> reasons;
  for (const Known& known : kKnown) {
    if ((bits & known.bit) == 0) continue;
    reasons.push_back({.words = std::string(known.words), .harmful = known.harmful});
    bits &= ~known.bit;
  }
  if (bits != 0) {
    reasons.push_back({.words = fmt::format("unknown reason 0x{:x}", bits), .harmful = true});
  }
  return reasons;
}

}  // namespace thermoe
