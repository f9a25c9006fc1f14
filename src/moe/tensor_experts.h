// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/torch.h>

#include <span>

#include "kernels/expert_bank_view.h"
#include "moe/tensor_routing.h"

namespace thermoe {

/// A layer's experts on tensors (kernels/grouped_experts.h). `bank` lies where hidden
/// [tokens, d_model] f32 and the routing do, on the CPU or a CUDA device; the result [tokens,
/// d_model] f32 too. `variant` [experts] in host memory, empty: the bank's first.
at::Tensor run_experts(const ExpertBankView& bank, const at::Tensor& hidden, const Routing& routing,
                       std::span<const std::uint8_t> variant);

}  // namespace thermoe
