// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

namespace thermoe {

/// A batch's routing: what decides an expert layer's time is how many experts it wakes.
struct Breadth {
  int tokens = 0;
  int k = 0;
  int experts = 0;
  int active = 0;  ///< D: at most experts and tokens * k
};

/// Picks [tokens, k] for measurements that wake exactly `active` experts, others for each seed;
/// with fewer than k of them the last slots of every token are empty (-1). Which ones is drawn
/// evenly; each has a popularity, e to half a normal value, by which tokens draw k different ones
/// (Gumbel's way). An expert that nobody drew takes a place of the busiest. So loads are uneven as
/// routers leave them: with all of 128 experts active the busiest has 2 to 4 times the mean, at 16
/// tokens and D = 82 it has 3 or 4 tokens.
std::vector<std::int32_t> ids_of_breadth(const Breadth& breadth, unsigned seed);

}  // namespace thermoe
