// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "kernels/fused_dequant_linear.h"
#include "kernels/grouped_experts.h"
#include "kernels/permute_combine.h"
#include "kernels/topk_route.h"
#include "kernels/unfused.h"

// The CUDA backend, as cpu/backends.h is the CPU's: the dispatchers beside the public headers check
// what the host can know; these trust it. Nothing here allocates or synchronises. In programs
// without CUDA, absent.cpp refuses each.
namespace thermoe::cuda {

void fused_dequant_linear(const FusedDequantLinearArgs& args, Stream stream);
std::size_t grouped_experts_workspace(const ExpertLayerShape& shape, int tokens, int slots);
void grouped_experts(const GroupedExpertsArgs& args, Stream stream);
std::size_t topk_route_workspace(const RouterView& router, int tokens, int slots);
void topk_route(const TopkRouteArgs& args, Stream stream);
std::size_t order_by_expert_workspace(int tokens, int slots, int experts);
void order_by_expert(const OrderByExpertArgs& args, Stream stream);
void permute(const PermuteArgs& args, Stream stream);
void combine(const CombineArgs& args, Stream stream);
void combine_backward(const CombineBackwardArgs& args, Stream stream);
void expert_activation(const ExpertActivationArgs& args, Stream stream);
void dequant_unpack(const DequantUnpackArgs& args, Stream stream);

}  // namespace thermoe::cuda
