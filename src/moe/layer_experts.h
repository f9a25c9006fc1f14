// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/expert_bank.h"
#include "moe/expert_type.h"
#include "moe/model_weights.h"

namespace thermoe {

/// A layer's experts in the precisions that `type` asks for. Throws UsageError where int4 groups do
/// not divide the model's d_model and d_ff.
ExpertBank make_expert_bank(const LayerWeights& weights, const ModelConfig& config, ExpertType type,
                            int int4_group);

}  // namespace thermoe
