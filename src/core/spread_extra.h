// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

namespace thermoe {

/// What the shares of a LayerPlan mean: which tokens of a batch have one more than `whole`, a share
/// `extra` of all (token, step) pairs. It is spread evenly (Bresenham) over tokens and rotates from
/// step to step, so that it holds for each token over time too. by_token [tokens] is written.
void spread_extra(int whole, float extra, int layer, std::uint64_t step, std::span<int> by_token);

}  // namespace thermoe
