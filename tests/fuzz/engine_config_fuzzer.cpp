// SPDX-License-Identifier: Apache-2.0

#include "engine/engine_config.h"
#include "fuzz_input.h"

namespace thermoe {

void parse_input(std::string_view bytes) {
  if (bytes.starts_with('{')) read_engine_config(std::string(bytes));  // else it is a path
}

}  // namespace thermoe
