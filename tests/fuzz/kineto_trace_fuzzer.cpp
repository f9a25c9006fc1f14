// SPDX-License-Identifier: Apache-2.0

#include "fuzz_input.h"
#include "profile/kineto_trace.h"
#include "profile/parse_report.h"

namespace thermoe {

/// Text or gzip, as the first bytes say.
void parse_input(std::string_view bytes) {
  const auto profile = parse_kineto_trace(fuzz_file("input.json", bytes), {.executions = true});
  write_json(profile, [](std::string_view) {});
  to_text(profile, 20);
}

}  // namespace thermoe
