// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/torch.h>

namespace thermoe {

/// How the router of one layer spread a training batch, with gradients.
struct TrainingRouting {
  at::Tensor ids;            ///< [tokens, k] i32, best first; -1 where a token takes fewer
  at::Tensor weights;        ///< [tokens, k] f32, 0 in such a slot, rows sum to 1
  at::Tensor probabilities;  ///< [tokens, experts] f32
  at::Tensor picked;         ///< [tokens, experts] f32 of 0 and 1, no gradient
};

/// Softmax, top-k, renormalise. `k_per_token` [tokens] i64 draws each token's own k (elastic k);
/// undefined means `k` for all. logits [tokens, experts] f32.
TrainingRouting route_for_training(const at::Tensor& logits, std::int64_t k,
                                   const at::Tensor& k_per_token);

/// Switch-style load-balance loss: experts * sum over experts of (share of picks) * (mean
/// probability); 1 when balanced (Fedus et al. 2021, eq. 4, for k picks).
at::Tensor load_balance_loss(const TrainingRouting& routing);

}  // namespace thermoe
