// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <limits>

namespace thermoe {

/// The one check of numbers from the command line, for `option->check(...)`: plain decimal, the
/// whole text, finite, within [min, max]. CLI11's own conversion, which follows, takes 010 for 8,
/// 0x10 for 16 and nan for a number. What it refuses names the flag and ends with exit code 2
/// before any work.
CLI::Validator whole_number(std::int64_t min,
                            std::int64_t max = std::numeric_limits<std::int64_t>::max());
/// With a fraction or an exponent, if need be: 350, 0.25, 1e-3.
CLI::Validator real_number(double min, double max = std::numeric_limits<double>::max());

}  // namespace thermoe
