// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "kernels/device_memory.h"

namespace thermoe {

// Data for measurements: made on the device in the order of the default stream, the same for the
// same seed. Never zeros: kernels run faster and cooler on them than on data. Throws as
// DeviceMemory does.

DeviceMemory normal_f32(std::size_t n, unsigned seed, float deviation = 1.0F);
DeviceMemory normal_bf16(std::size_t n, unsigned seed, float deviation = 1.0F);
DeviceMemory normal_f16(std::size_t n, unsigned seed, float deviation = 1.0F);
/// Words of random bits: packed int4 of any layout.
DeviceMemory random_words(std::size_t n, unsigned seed);
/// Bytes of 0..15: zero points.
DeviceMemory random_nibbles(std::size_t n, unsigned seed);

}  // namespace thermoe
