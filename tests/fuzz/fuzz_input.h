// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace thermoe {

/// What a fuzzer does with one input: each *_fuzzer.cpp defines it once. A parser refuses what it
/// cannot use by UsageError; any other exception is a finding, as a crash, a leak or a hang is.
void parse_input(std::string_view bytes);

/// A folder of this process, in TMPDIR (tools/fuzz puts that in memory).
const std::string& fuzz_folder();

/// Writes a file into that folder over the one before, and returns its path.
std::string fuzz_file(std::string_view name, std::string_view bytes);

}  // namespace thermoe
