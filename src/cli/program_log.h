// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace thermoe {

/// Where the library's log lines go: errors to standard error, as standard output is for results.
/// Warnings, such as fallbacks, are notes of the run instead. Any thread may log.
void install_program_log();

}  // namespace thermoe
