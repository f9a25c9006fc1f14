// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "profile/parsed_profile.h"

namespace thermoe {

/// Whether a cell is a number of another locale's: digits and separators, but not as ncu writes
/// them under LC_ALL=C.
bool is_foreign_number(std::string_view cell);

/// A number as ncu writes it: 12,319,469 or 0.04. Absent for n/a and for what is none.
std::optional<double> ncu_number(std::string_view cell);

/// A duration in whole ns. Absent where its unit is unknown or it is below zero.
std::optional<std::int64_t> ncu_duration(std::string_view cell, std::string_view unit);

/// "(256, 1, 1)".
std::optional<Extent> ncu_extent(std::string_view cell);

}  // namespace thermoe
