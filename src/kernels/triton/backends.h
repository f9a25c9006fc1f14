// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "kernels/fused_dequant_linear.h"
#include "kernels/topk_route.h"

// The backend triton: the kernels of python/thermoe/triton_kernels.py, compiled with the program
// for compute capability 9.0. The dispatchers beside the public headers check what the host can
// know; these trust it. In programs without them, absent.cpp refuses each.
namespace thermoe::triton {

/// Most slots of a token that `custom_topk_kernel` holds.
inline constexpr int kMaxSlots = 32;

/// Why they cannot run in this program or on the current device. Nothing where they can.
std::optional<std::string> problem();

/// Loads the kernels, once a program. The first op does so itself: this is for callers that cannot
/// have it wait. Throws UsageError where there is a `problem`.
void prepare();

void fused_dequant_linear(const FusedDequantLinearArgs& args, Stream stream);
void topk_route(const TopkRouteArgs& args, Stream stream);

}  // namespace thermoe::triton
