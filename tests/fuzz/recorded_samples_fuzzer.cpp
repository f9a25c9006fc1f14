// SPDX-License-Identifier: Apache-2.0

#include "fuzz_input.h"
#include "profile/recorded_samples.h"

namespace thermoe {

void parse_input(std::string_view bytes) {
  read_recorded_samples(fuzz_file("input.csv", bytes), 1764000000000000000);
}

}  // namespace thermoe
