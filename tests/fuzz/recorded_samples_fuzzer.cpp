// SPDX-License-Identifier: Apache-2.0

#include <cstdint>
#include <cstring>

#include "fuzz_input.h"
#include "profile/recorded_samples.h"

namespace thermoe {

/// The profile's time 0 in 8 bytes, then the recording.
void parse_input(std::string_view bytes) {
  std::int64_t zero = 0;
  if (bytes.size() < sizeof zero) return;
  std::memcpy(&zero, bytes.data(), sizeof zero);
  read_recorded_samples(fuzz_file("input.csv", bytes.substr(sizeof zero)), zero);
}

}  // namespace thermoe
