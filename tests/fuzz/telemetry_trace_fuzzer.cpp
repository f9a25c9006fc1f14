// SPDX-License-Identifier: Apache-2.0

#include "fuzz_input.h"
#include "telemetry/telemetry_trace.h"

namespace thermoe {

/// Our own recordings, and nvidia-smi's, as the header says.
void parse_input(std::string_view bytes) { parse_telemetry_trace(bytes, "input.csv"); }

}  // namespace thermoe
