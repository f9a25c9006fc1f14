// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "kernels/device_expert_bank.h"

namespace thermoe {

/// Precisions in which a bank holds its experts.
struct BankPrecisions {
  bool bf16 = true;   ///< variant 0
  bool int4 = false;  ///< variant 1: symmetric, in the largest groups that divide d_model and d_ff
};

/// Experts without a meaning, for loads and measurements, made on the device as the default
/// stream's work: other weights for another seed. Requires d_model and d_ff to be multiples of 32
/// and a precision. Throws as DeviceMemory does.
DeviceExpertBank random_expert_bank(const ExpertLayerShape& shape, const BankPrecisions& precisions,
                                    unsigned seed);

/// Bytes of device memory that it takes.
std::size_t random_expert_bank_bytes(const ExpertLayerShape& shape,
                                     const BankPrecisions& precisions);

}  // namespace thermoe
