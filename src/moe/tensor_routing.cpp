// SPDX-License-Identifier: Apache-2.0
#include "moe/tensor_routing.h"

#include <algorithm>

#include "core/errors.h"

namespace thermoe {

Routing route_batches(AdaptiveRouter& router, const at::Tensor& gate_logits,
                      std::int64_t batch_size, const RoutingPlan& plan, int layer) {
  const std::int64_t experts = router.experts();
  THERMOE_EXPECT(gate_logits.dim() == 2 && gate_logits.size(1) == experts,
                 "gate logits must be [tokens, {}]", experts);
  THERMOE_EXPECT(gate_logits.device().is_cpu() && gate_logits.scalar_type() == at::kFloat,
                 "gate logits must be f32 on the CPU");
  const std::int64_t tokens = gate_logits.size(0);
  THERMOE_EXPECT(batch_size >= 1 && tokens % batch_size == 0,
                 "{} tokens are no whole number of batches of {}", tokens, batch_size);
  const at::Tensor logits = gate_logits.detach().contiguous();
  const std::int64_t slots = router.slots(plan, layer);
  const std::int64_t batches = tokens / batch_size;
  Routing routing{.indices = at::empty({tokens, slots}, at::kInt),
                  .weights = at::empty({tokens, slots}, at::kFloat),
                  .counts = at::empty({batches, experts}, at::kInt),
                  .kept_mass = at::empty({tokens}, at::kFloat)};
  for (std::int64_t b = 0; b < batches; ++b) {
    const LayerRouting part =
        router.route(std::span(logits.const_data_ptr<float>() + b * batch_size * experts,
                               static_cast<std::size_t>(batch_size * experts)),
                     static_cast<int>(batch_size), plan, layer, static_cast<std::uint64_t>(b));
    const std::int64_t first = b * batch_size * slots;
    std::copy(part.expert.begin(), part.expert.end(),
              routing.indices.mutable_data_ptr<std::int32_t>() + first);
    std::copy(part.weight.begin(), part.weight.end(),
              routing.weights.mutable_data_ptr<float>() + first);
    std::copy(part.counts.begin(), part.counts.end(),
              routing.counts.mutable_data_ptr<std::int32_t>() + b * experts);
    std::copy(part.kept_mass.begin(), part.kept_mass.end(),
              routing.kept_mass.mutable_data_ptr<float>() + b * batch_size);
  }
  return routing;
}

}  // namespace thermoe
