// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

namespace thermoe {

/// The process's largest resident set so far (VmHWM), in bytes. Absent where the system does not
/// say.
std::optional<std::uint64_t> peak_memory_bytes();

}  // namespace thermoe
