// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace thermoe {

/// Bytes that a reader of large files takes at once. Few where fuzzers run: lines then lie across
/// blocks, and an input costs no megabyte of zeros.
#ifdef THERMOE_FUZZ
inline constexpr std::size_t kReadBlock = 256;
#else
inline constexpr std::size_t kReadBlock = std::size_t{1} << 20;
#endif

}  // namespace thermoe
