// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

namespace thermoe {

/// The process's largest resident set (VmHWM) since its start or the last reset, in bytes. Absent
/// where the system does not say.
std::optional<std::uint64_t> peak_memory_bytes();
/// Starts the count anew from what is resident now. False where the system does not let it.
bool reset_peak_memory();

}  // namespace thermoe
