// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/cpu_isa.h"

namespace thermoe::bench {

/// Sum of `count` words (a multiple of 128) by the widest loads of `isa` and nothing else: the time
/// below which no kernel that needs all of them can come.
std::uint32_t sum_words(const std::uint32_t* words, std::size_t count, cpu::Isa isa);

}  // namespace thermoe::bench
