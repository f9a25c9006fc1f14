// SPDX-License-Identifier: Apache-2.0
#include "moe/adaptive_router.h"

#include <algorithm>
#include <numeric>

#include "core/errors.h"

namespace thermoe {

AdaptiveRouter::AdaptiveRouter(Strategy strategy, int layer, int experts, int k)
    : strategy_(strategy), layer_(layer), experts_(experts), k_(k), plan_(layer + 1, experts, k) {}

void AdaptiveRouter::adopt(const RoutingPlan& plan) {
  THERMOE_EXPECT(plan.experts() == experts_ && layer_ < plan.layers(),
                 "a plan of {} layers x {} experts has no row for layer {} of {} experts",
                 plan.layers(), plan.experts(), layer_, experts_);
  if (strategy_ == Strategy::kBaseline) return;
  if (strategy_ == Strategy::kStaticOptimal && adopted_) return;
  plan_ = plan;
  adopted_ = true;
}

Routing AdaptiveRouter::route(const at::Tensor& gate_logits, std::int64_t batch_size) {
  THERMOE_EXPECT(gate_logits.dim() == 2 && gate_logits.size(1) == experts_,
                 "gate logits must be [tokens, {}]", experts_);
  THERMOE_EXPECT(gate_logits.device().is_cpu() && gate_logits.scalar_type() == at::kFloat,
                 "gate logits must be f32 on the CPU");
  const std::int64_t tokens = gate_logits.size(0);
  THERMOE_EXPECT(batch_size >= 1 && tokens % batch_size == 0,
                 "{} tokens are no whole number of batches of {}", tokens, batch_size);
  const at::Tensor logits = gate_logits.detach().contiguous();
  const LayerPlan& row = plan_.layer(layer_);
  const std::int64_t slots =
      std::min<std::int64_t>(experts_, row.k + (row.extra_k_share > 0.0F ? 1 : 0));
  const std::int64_t batches = tokens / batch_size;
  Routing routing{.indices = at::empty({tokens, slots}, at::kInt),
                  .weights = at::empty({tokens, slots}, at::kFloat),
                  .counts = at::empty({batches, experts_}, at::kInt)};
  PlanRouter router(experts_, k_, static_cast<int>(batch_size));
  const auto batch_logits = static_cast<std::size_t>(batch_size * experts_);
  double kept = 0.0;
  for (std::int64_t b = 0; b < batches; ++b) {
    const LayerRouting part = router.route(
        std::span(logits.const_data_ptr<float>() + b * batch_size * experts_, batch_logits),
        static_cast<int>(batch_size), plan_, layer_, step_++);
    const std::int64_t first = b * batch_size * slots;
    std::copy(part.expert.begin(), part.expert.end(),
              routing.indices.mutable_data_ptr<std::int32_t>() + first);
    std::copy(part.weight.begin(), part.weight.end(),
              routing.weights.mutable_data_ptr<float>() + first);
    std::copy(part.counts.begin(), part.counts.end(),
              routing.counts.mutable_data_ptr<std::int32_t>() + b * experts_);
    kept += std::accumulate(part.kept_mass.begin(), part.kept_mass.end(), 0.0);
  }
  if (tokens > 0) routing.kept_mass = kept / static_cast<double>(tokens);
  return routing;
}

}  // namespace thermoe
