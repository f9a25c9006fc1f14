// SPDX-License-Identifier: Apache-2.0
#include "moe/training_routing.h"

namespace thermoe {

TrainingRouting route_for_training(const at::Tensor& logits, std::int64_t k,
                                   const at::Tensor& k_per_token) {
  const at::Tensor probabilities = at::softmax(logits, -1);
  at::Tensor picked;
  {
    const at::NoGradGuard no_grad;
    const at::Tensor ids = std::get<1>(at::topk(logits, k, -1));
    at::Tensor ones = at::ones_like(ids, logits.options());
    if (k_per_token.defined()) {
      // topk sorts by value: rank r stays where r < the token's k.
      ones =
          at::arange(k, ids.options()).unsqueeze(0).lt(k_per_token.unsqueeze(1)).to(logits.dtype());
    }
    picked = at::zeros_like(logits).scatter_(-1, ids, ones);
  }
  const at::Tensor kept = probabilities * picked;
  return {.gates = kept / kept.sum(-1, /*keepdim=*/true),
          .probabilities = probabilities,
          .picked = picked};
}

at::Tensor load_balance_loss(const TrainingRouting& routing) {
  const at::Tensor picks = routing.picked.mean(0);
  const at::Tensor share = picks / picks.sum();
  return routing.picked.size(1) * (share * routing.probabilities.mean(0)).sum();
}

}  // namespace thermoe
