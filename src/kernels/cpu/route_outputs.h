// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/topk_route.h"

namespace thermoe::cpu {

/// What `topk_route` writes once the picks and weights of all valid tokens stand, -1 in slots that
/// are empty: counts, padding rows, filled slots and masked logits.
void finish_outputs(const TopkRouteArgs& args);

}  // namespace thermoe::cpu
