// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/topk_route.h"

namespace thermoe::cuda {

/// `topk_route` for batches that do not fit in one block, a launch for each step of the rule.
std::size_t route_many_workspace(const RouterView& router, int tokens, int slots);
void route_many(const TopkRouteArgs& args, Stream stream);

}  // namespace thermoe::cuda
