// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace thermoe {

/// nsys serialises a thread as hardware:8 | VM:8 | process:24 | thread:24; this is its process, as
/// `globalPid` has it.
constexpr std::uint64_t nsys_process(std::uint64_t global_thread) {
  return global_thread & ~std::uint64_t{0xFFFFFF};
}

}  // namespace thermoe
