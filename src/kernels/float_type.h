// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace thermoe {

/// What a tensor's numbers are. Sums are f32 whatever they are.
enum class FloatType : std::uint8_t { kF32, kBf16, kF16 };

}  // namespace thermoe
