// SPDX-License-Identifier: Apache-2.0
#include "moe/tensor_experts.h"

#include "core/errors.h"
#include "kernels/expert_order.h"
#include "kernels/grouped_experts.h"
#include "moe/tensor_backend.h"

namespace thermoe {
namespace {

/// Scratch memory beside a tensor, aligned to 64 bytes as LibTorch allocates everything.
class Scratch {
 public:
  Scratch(const at::Tensor& beside, std::size_t bytes)
      : memory_(at::empty({static_cast<std::int64_t>(bytes)}, beside.options().dtype(at::kByte))) {}

  std::byte* data() const { return static_cast<std::byte*>(memory_.mutable_data_ptr()); }
  std::size_t size() const { return static_cast<std::size_t>(memory_.numel()); }

 private:
  at::Tensor memory_;
};

}  // namespace

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
  const Scratch sorting(hidden,
                        order_by_expert_workspace(backend, tokens, slots, bank.shape.experts));
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
  if (!variant.empty()) {
    variants = at::from_blob(const_cast<std::uint8_t*>(variant.data()),
                             {static_cast<std::int64_t>(variant.size())}, at::kByte)
                   .to(hidden.device());
  }
  const Scratch workspace(hidden, grouped_experts_workspace(backend, bank.shape, tokens, slots));
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
