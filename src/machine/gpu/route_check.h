// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "core/router_spec.h"
#include "machine/gpu/step_load.h"

namespace thermoe {

/// Routes a staged step on the CPU and compares, expert by expert, with what a load picked under
/// the same plan version. Returns how many picks differ where the arithmetic contract of
/// kernels/topk_route.h allows it: never for softmax, for other scores between experts whose scores
/// are within 1e-6 in float64. Throws Error for any other difference, naming plan version, layer,
/// token and both picks.
std::uint64_t check_routing(const StagedStep& step, const RouterSpec& router,
                            const RoutedPicks& picks);

}  // namespace thermoe
