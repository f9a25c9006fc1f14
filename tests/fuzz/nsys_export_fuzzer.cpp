// SPDX-License-Identifier: Apache-2.0

#include "fuzz_input.h"
#include "profile/nsys_export.h"
#include "profile/parse_report.h"

namespace thermoe {

void parse_input(std::string_view bytes) {
  const auto profile = parse_nsys_export(fuzz_file("input.sqlite", bytes), {.executions = true});
  write_json(profile, [](std::string_view) {});
  to_text(profile, 20);
}

}  // namespace thermoe
