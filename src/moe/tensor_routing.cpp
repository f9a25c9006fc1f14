// SPDX-License-Identifier: Apache-2.0
#include "moe/tensor_routing.h"

#include <algorithm>

#include "core/errors.h"
#include "moe/tensor_backend.h"

namespace thermoe {
namespace {

Routing empty_routing(std::int64_t batches, std::int64_t batch_size, std::int64_t slots,
                      std::int64_t experts, const at::Tensor& logits) {
  const auto f32 = logits.options().dtype(at::kFloat);
  const auto i32 = logits.options().dtype(at::kInt);
  const std::int64_t tokens = batches * batch_size;
  return {.indices = at::empty({tokens, slots}, i32),
          .weights = at::empty({tokens, slots}, f32),
          .counts = at::empty({batches, experts}, i32),
          .kept_mass = at::empty({tokens}, f32)};
}

/// All batches in one call, where the logits lie.
void route_on_device(const RouterSpec& router, const at::Tensor& logits, const RoutingPlan& plan,
                     int layer, Routing& routing) {
  const auto batches = static_cast<int>(routing.counts.size(0));
  const auto tokens = static_cast<int>(logits.size(0) / batches);
  const auto slots = static_cast<int>(routing.indices.size(1));
  const at::Tensor plan_bytes = beside(logits, plan.bytes());
  at::Tensor bias;
  if (!router.selection_bias.empty()) {
    bias = beside(logits, std::as_bytes(router.layer_bias(layer)));
  }
  const RouterView view(
      router, bias.defined() ? static_cast<const float*>(bias.const_data_ptr()) : nullptr);
  const TensorScratch workspace(logits, topk_route_workspace(Backend::kCuda, view, tokens, slots));
  const auto* base = static_cast<const std::byte*>(plan_bytes.const_data_ptr());
  topk_route(Backend::kCuda,
             {.logits = logits.const_data_ptr<float>(),
              .tokens = tokens,
              .batches = batches,
              .router = view,
              .plan = plan.view_at(base, layer),
              .expert = routing.indices.mutable_data_ptr<std::int32_t>(),
              .weight = routing.weights.mutable_data_ptr<float>(),
              .slots = slots,
              .counts = routing.counts.mutable_data_ptr<std::int32_t>(),
              .kept_mass = routing.kept_mass.mutable_data_ptr<float>(),
              .workspace = workspace.data(),
              .workspace_size = workspace.size()},
             stream_of(logits));
}

}  // namespace

Routing route_batches(AdaptiveRouter& router, const at::Tensor& gate_logits,
                      std::int64_t batch_size, const RoutingPlan& plan, int layer) {
  const std::int64_t experts = router.experts();
  THERMOE_EXPECT(gate_logits.dim() == 2 && gate_logits.size(1) == experts,
                 "gate logits must be [tokens, {}]", experts);
  THERMOE_EXPECT(gate_logits.scalar_type() == at::kFloat, "gate logits must be f32");
  const std::int64_t tokens = gate_logits.size(0);
  THERMOE_EXPECT(batch_size >= 1 && tokens % batch_size == 0,
                 "{} tokens are no whole number of batches of {}", tokens, batch_size);
  const at::Tensor logits = gate_logits.detach().contiguous();
  const std::int64_t slots = router.slots(plan, layer);
  const std::int64_t batches = tokens / batch_size;
  Routing routing = empty_routing(batches, batch_size, slots, experts, logits);
  if (backend_of(logits) == Backend::kCuda) {
    if (tokens > 0) route_on_device(router.router(), logits, plan, layer, routing);
    return routing;
  }
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
