// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace thermoe {

/// What a step is, for ops that read it where they run: on a device it lies at a fixed address, so
/// that a captured graph sees each step's own: copied there in the stream before each replay.
/// `copy_to_device` from pageable memory may wait for the stream; from pinned memory it does not,
/// which then must stay as it is until the copy has run.
struct StepState {
  static constexpr std::int32_t kAllTokens = -1;
  static constexpr std::int32_t kDecode = 0;
  static constexpr std::int32_t kPrefill = 1;  ///< every expert runs anyway: no prices

  std::uint64_t step = 0;  ///< counts decode steps; rotates the tokens of a plan's two shares
  std::int32_t valid_tokens = kAllTokens;  ///< rows that are no padding: the first so many
  std::int32_t phase = kDecode;
};
static_assert(sizeof(StepState) == 16);

}  // namespace thermoe
