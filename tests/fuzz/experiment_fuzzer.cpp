// SPDX-License-Identifier: Apache-2.0

#include "fuzz_input.h"
#include "run/experiment.h"

namespace thermoe {

void parse_input(std::string_view bytes) { read_experiment(fuzz_file("input.json", bytes)); }

}  // namespace thermoe
