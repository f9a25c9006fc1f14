// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/cpu_isa.h"
#include "kernels/decode_attention.h"
#include "kernels/fused_dequant_linear.h"
#include "kernels/grouped_experts.h"
#include "kernels/linear.h"
#include "kernels/permute_combine.h"
#include "kernels/topk_route.h"
#include "kernels/unfused.h"

// The CPU reference backend. The dispatchers beside the public headers check the arguments; these
// trust them, and that the machine runs `isa`.
namespace thermoe::cpu {

void topk_route(const TopkRouteArgs& args, Isa isa);
void fused_dequant_linear(const FusedDequantLinearArgs& args, Isa isa);
void linear(const LinearArgs& args, Isa isa);
void decode_attention(const DecodeAttentionArgs& args, Isa isa);
std::size_t grouped_experts_workspace(const ExpertLayerShape& shape);
void grouped_experts(const GroupedExpertsArgs& args, Isa isa);
// Only move memory: one version for all.
void permute(const PermuteArgs& args);
void combine(const CombineArgs& args);
void combine_backward(const CombineBackwardArgs& args);
// Measured only: readable, not fast.
void expert_activation(const ExpertActivationArgs& args);
void dequant_unpack(const DequantUnpackArgs& args);

}  // namespace thermoe::cpu
