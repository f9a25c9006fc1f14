// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace thermoe {

/// Writes out what is buffered and ends the process with `code`, without destructors and exit
/// handlers: for a process with a thread that a driver holds, under which they would take away what
/// it still uses. Where standard output cannot be written it says so and ends with 1.
[[noreturn]] void exit_leaving_threads(int code);

}  // namespace thermoe
