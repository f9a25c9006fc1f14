// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/torch.h>

#include <cstdint>

#include "core/routing_plan.h"
#include "moe/adaptive_router.h"

namespace thermoe {

/// Who goes where in one layer, for many decode batches at once.
struct Routing {
  at::Tensor indices;  ///< [tokens, k] i32, best first; -1 where a token takes fewer
  at::Tensor weights;  ///< [tokens, k] f32 from the unbiased scores, over the router's denominator
  at::Tensor counts;   ///< [tokens / batch_size, experts] i32: tokens an expert received, by batch
  at::Tensor kept_mass;  ///< [tokens] f32: kept share of the mass of the model's own picks
};

/// The router on tensors. gate_logits [tokens, experts] f32, on the CPU or a CUDA device, where the
/// result lies too. Each run of `batch_size` tokens is one decode step, the first of them step 0:
/// prices act on the experts that a batch needs together. Requires tokens to be a multiple of
/// batch_size, at most the router's tokens. On CUDA nothing waits for the device.
Routing route_batches(AdaptiveRouter& router, const at::Tensor& gate_logits,
                      std::int64_t batch_size, const RoutingPlan& plan, int layer);

}  // namespace thermoe
