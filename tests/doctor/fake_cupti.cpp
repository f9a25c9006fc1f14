// SPDX-License-Identifier: Apache-2.0
// Stands for libcupti.so in tests: the one function that doctor calls.
#include <cstdint>

extern "C" __attribute__((visibility("default"))) int cuptiGetVersion(std::uint32_t* version) {
  *version = 130000;
  return 0;
}
