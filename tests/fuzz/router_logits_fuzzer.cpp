// SPDX-License-Identifier: Apache-2.0

#include "fuzz_input.h"
#include "moe/router_logits.h"

namespace thermoe {

void parse_input(std::string_view bytes) {
  read_router_logits(fuzz_file("input.safetensors", bytes));
}

}  // namespace thermoe
