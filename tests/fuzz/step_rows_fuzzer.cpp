// SPDX-License-Identifier: Apache-2.0

#include "cost/step_rows.h"
#include "fuzz_input.h"

namespace thermoe {

void parse_input(std::string_view bytes) { read_step_rows(fuzz_file("input.csv", bytes)); }

}  // namespace thermoe
