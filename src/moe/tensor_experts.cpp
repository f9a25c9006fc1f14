// SPDX-License-Identifier: Apache-2.0
#include "moe/tensor_experts.h"

#include "core/errors.h"
#include "kernels/expert_order.h"
#include "kernels/grouped_experts.h"
#include "moe/tensor_backend.h"

namespace thermoe {
at::Tensor run_experts(const ExpertBankView& bank, const at::Tensor& hidden, const Routing& routing,
                       std::span<const std::uint8_t> variant) {
  THERMOE_EXPECT(hidden.dim() == 2 && hidden.size(1) == bank.shape.d_model &&
                     hidden.scalar_type() == at::kFloat && hidden.is_contiguous(),
                 "hidden must be [tokens, {}] f32", bank.shape.d_model);
  const Backend backend = backend_of(hidden);
  const Stream stream = stream_of(hidden);
  const auto tokens = static_cast<int>(hidden.size(0));
  const auto slots = static_cast<int>(routing.indices.size(1));
  const auto* expert = routing.indices.const_data_ptr<std::int32_t>();
  const auto ids = routing.indices.options();
  const at::Tensor first = at::empty({bank.shape.experts + 1}, ids);
  const at::Tensor pair = at::empty({routing.indices.numel()}, ids);
  const ExpertOrder order{first.mutable_data_ptr<std::int32_t>(),
                          pair.mutable_data_ptr<std::int32_t>()};
  const TensorScratch sorting(
      hidden, order_by_expert_workspace(backend, tokens, slots, bank.shape.experts));
  order_by_expert(backend,
                  {.expert = expert,
                   .tokens = tokens,
                   .slots = slots,
                   .experts = bank.shape.experts,
                   .order = order,
                   .workspace = sorting.data(),
                   .workspace_size = sorting.size()},
                  stream);

  at::Tensor variants;
  if (!variant.empty()) variants = beside(hidden, std::as_bytes(variant));
  const TensorScratch workspace(hidden,
                                grouped_experts_workspace(backend, bank.shape, tokens, slots));
  at::Tensor out = at::empty_like(hidden);
  grouped_experts(
      backend,
      {.bank = bank,
       .hidden = hidden.const_data_ptr<float>(),
       .tokens = tokens,
       .expert = expert,
       .weight = routing.weights.const_data_ptr<float>(),
       .slots = slots,
       .order = order,
       .variant = variants.defined() ? variants.const_data_ptr<std::uint8_t>() : nullptr,
       .workspace = workspace.data(),
       .workspace_size = workspace.size(),
       .out = out.mutable_data_ptr<float>()},
      stream);
  return out;
}

}  // namespace thermoe
