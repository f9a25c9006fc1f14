// SPDX-License-Identifier: Apache-2.0
#include "moe/training_routing.h"

namespace thermoe {

TrainingRouting route_for_training(const at::Tensor& logits, std::int64_t k,
                                   const at::Tensor& k_per_token) {
  const at::Tensor probabilities = at::softmax(logits, -1);
  const at::Tensor best = std::get<1>(at::topk(logits.detach(), k, -1));
  at::Tensor taken = at::ones_like(best, logits.options());
  if (k_per_token.defined()) {
    // topk sorts by value: rank r stays where r < the token's k.
    taken =
        at::arange(k, best.options()).unsqueeze(0).lt(k_per_token.unsqueeze(1)).to(logits.dtype());
  }
  const at::Tensor kept = probabilities.gather(-1, best) * taken;
  return {.ids = at::where(taken.gt(0), best, -1).to(at::kInt),
          .weights = kept / kept.sum(-1, /*keepdim=*/true),
          .probabilities = probabilities,
          .picked = at::zeros_like(logits.detach()).scatter_(-1, best, taken)};
}

at::Tensor load_balance_loss(const TrainingRouting& routing) {
  const at::Tensor picks = routing.picked.mean(0);
  const at::Tensor share = picks / picks.sum();
  return routing.picked.size(1) * (share * routing.probabilities.mean(0)).sum();
}

}  // namespace thermoe
