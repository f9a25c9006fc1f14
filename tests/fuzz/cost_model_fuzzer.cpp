// SPDX-License-Identifier: Apache-2.0

#include "cost/kernel_cost_model.h"
#include "fuzz_input.h"

namespace thermoe {

void parse_input(std::string_view bytes) { KernelCostModel::load(fuzz_file("input.json", bytes)); }

}  // namespace thermoe
