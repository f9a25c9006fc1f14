// SPDX-License-Identifier: Apache-2.0

#include "fuzz_input.h"
#include "machine/simulated/plant_config.h"

namespace thermoe {

void parse_input(std::string_view bytes) { read_plant(fuzz_file("input.json", bytes)); }

}  // namespace thermoe
