// SPDX-License-Identifier: Apache-2.0
#include "moe/peak_memory.h"

#include <fstream>
#include <string>

namespace thermoe {

std::optional<std::uint64_t> peak_memory_bytes() {
  std::ifstream status("/proc/self/status");
  std::string key;
  while (status >> key) {
    if (std::uint64_t kibibytes = 0; key == "VmHWM:" && status >> kibibytes)
      return kibibytes * 1024;
    std::getline(status, key);
  }
  return std::nullopt;
}

bool reset_peak_memory() {
  std::ofstream clear("/proc/self/clear_refs");
  clear << "5" << std::flush;  // proc(5): resets the peak resident set size
  return clear.good();
}

}  // namespace thermoe
