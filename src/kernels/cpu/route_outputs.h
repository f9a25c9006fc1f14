// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/topk_route.h"

namespace thermoe::cpu {

/// What `topk_route` writes of a batch once the picks and weights of its `valid` tokens stand, -1
/// in slots that are empty: counts, padding rows, filled slots, masked logits, the order of
/// picks and the sample.
void finish_outputs(const TopkRouteArgs& args, int valid);

}  // namespace thermoe::cpu
