// SPDX-License-Identifier: Apache-2.0

#include "fuzz_input.h"
#include "profile/ncu_csv.h"
#include "profile/parse_report.h"

namespace thermoe {

void parse_input(std::string_view bytes) {
  const auto profile = parse_ncu_csv(fuzz_file("input.csv", bytes), {.executions = true});
  write_json(profile, [](std::string_view) {});
  to_text(profile, 20);
}

}  // namespace thermoe
