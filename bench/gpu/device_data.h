// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/device_memory.h"

namespace thermoe::bench {

/// Made on the device, the same for the same seed. Never zeros: they run faster than data does.
DeviceMemory normal_f32(std::size_t n, unsigned seed, float deviation = 1.0F);
DeviceMemory normal_bf16(std::size_t n, unsigned seed, float deviation = 1.0F);
DeviceMemory normal_f16(std::size_t n, unsigned seed, float deviation = 1.0F);
/// Words of random bits: packed int4 of any layout.
DeviceMemory random_words(std::size_t n, unsigned seed);
/// Bytes of 0..15: zero points.
DeviceMemory random_nibbles(std::size_t n, unsigned seed);

/// How many sets of this size rows rotate through, so that a set has left L2 before it is read
/// again: together more than four times L2, at least 8, at most `most`.
int sets_to_rotate(double bytes_per_set, int most = 128);

}  // namespace thermoe::bench
