// SPDX-License-Identifier: Apache-2.0
#include "moe/expert_rows.h"

#include "core/errors.h"
#include "kernels/permute_combine.h"
#include "moe/tensor_backend.h"

namespace thermoe {
namespace {

std::int32_t* ids_in(const at::Tensor& t) { return t.mutable_data_ptr<std::int32_t>(); }

at::Tensor combined(const at::Tensor& rows, const at::Tensor& row, const float* weights) {
  const at::Tensor from = rows.contiguous();
  at::Tensor out = at::empty({row.size(0), rows.size(1)}, rows.options());
  combine(backend_of(rows),
          {.rows = from.const_data_ptr(),
           .type = float_type_of(rows),
           .tokens = static_cast<int>(row.size(0)),
           .width = static_cast<int>(rows.size(1)),
           .row = row.const_data_ptr<std::int32_t>(),
           .slots = static_cast<int>(row.size(1)),
           .weight = weights,
           .out = out.mutable_data_ptr()},
          stream_of(rows));
  return out;
}

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Permute final : torch::autograd::Function<Permute> {
  /// Writes `row`.
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& ids,
                            const at::Tensor& first, const at::Tensor& pair,
                            const at::Tensor& row) {
    context->save_for_backward({row});
    const at::Tensor from = x.contiguous();
    at::Tensor rows = at::empty({ids.numel(), x.size(1)}, x.options());
    permute(backend_of(x),
            {.x = from.const_data_ptr(),
             .type = float_type_of(x),
             .tokens = static_cast<int>(ids.size(0)),
             .width = static_cast<int>(x.size(1)),
             .expert = ids.const_data_ptr<std::int32_t>(),
             .slots = static_cast<int>(ids.size(1)),
             .experts = static_cast<int>(first.numel() - 1),
             .order = {ids_in(first), ids_in(pair)},
             .rows = rows.mutable_data_ptr(),
             .row = ids_in(row)},
            stream_of(x));
    return rows;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const at::Tensor row = context->get_saved_variables()[0];
    return {combined(gradients[0], row, nullptr), {}, {}, {}, {}};
  }
};

struct Combine final : torch::autograd::Function<Combine> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& rows,
                            const at::Tensor& weights, const at::Tensor& row,
                            const at::Tensor& first) {
    const at::Tensor kept = weights.contiguous();
    context->save_for_backward({rows, kept, row, first});
    return combined(rows, row, kept.const_data_ptr<float>());
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor rows = saved[0].contiguous();
    const at::Tensor& weights = saved[1];
    const at::Tensor& row = saved[2];
    const at::Tensor& first = saved[3];
    const at::Tensor grad_out = gradients[0].contiguous();
    at::Tensor grad_rows = at::empty(rows.sizes(), rows.options());
    at::Tensor grad_weights = at::empty(weights.sizes(), weights.options());
    combine_backward(backend_of(rows),
                     {.grad_out = grad_out.const_data_ptr(),
                      .rows = rows.const_data_ptr(),
                      .type = float_type_of(rows),
                      .tokens = static_cast<int>(row.size(0)),
                      .width = static_cast<int>(rows.size(1)),
                      .row = row.const_data_ptr<std::int32_t>(),
                      .slots = static_cast<int>(row.size(1)),
                      .weight = weights.const_data_ptr<float>(),
                      .filled = first.const_data_ptr<std::int32_t>() + first.numel() - 1,
                      .grad_rows = grad_rows.mutable_data_ptr(),
                      .grad_weight = grad_weights.mutable_data_ptr<float>()},
                     stream_of(rows));
    return {grad_rows, grad_weights, {}, {}};
  }
};

}  // namespace

ExpertRows::ExpertRows(const at::Tensor& ids, std::int64_t experts)
    : ids_(ids.contiguous()),
      first_(at::empty({experts + 1}, ids.options())),
      pair_(at::empty({ids.numel()}, ids.options())),
      row_(at::empty(ids.sizes(), ids.options())) {
  THERMOE_EXPECT(ids_.dim() == 2 && ids_.scalar_type() == at::kInt,
                 "ids must be [tokens, slots] i32");
  const auto tokens = static_cast<int>(ids_.size(0));
  const auto slots = static_cast<int>(ids_.size(1));
  const Backend backend = backend_of(ids_);
  const TensorScratch workspace(
      ids_, order_by_expert_workspace(backend, tokens, slots, static_cast<int>(experts)));
  order_by_expert(backend,
                  {.expert = ids_.const_data_ptr<std::int32_t>(),
                   .tokens = tokens,
                   .slots = slots,
                   .experts = static_cast<int>(experts),
                   .order = {ids_in(first_), ids_in(pair_)},
                   .workspace = workspace.data(),
                   .workspace_size = workspace.size()},
                  stream_of(ids_));
}

at::Tensor ExpertRows::permute(const at::Tensor& x) const {
  THERMOE_EXPECT(x.dim() == 2 && x.size(0) == ids_.size(0) && x.device() == ids_.device(),
                 "x must be [{}, width], beside the ids", ids_.size(0));
  return Permute::apply(x, ids_, first_, pair_, row_);
}

at::Tensor ExpertRows::combine(const at::Tensor& rows, const at::Tensor& weights) const {
  THERMOE_EXPECT(rows.dim() == 2 && rows.size(0) == ids_.numel(), "rows must be [{}, width]",
                 ids_.numel());
  THERMOE_EXPECT(weights.sizes() == ids_.sizes() && weights.scalar_type() == at::kFloat,
                 "weights must be [{}, {}] f32", ids_.size(0), ids_.size(1));
  return Combine::apply(rows, weights, row_, first_);
}

at::Tensor ExpertRows::linear(const at::Tensor& rows, const at::Tensor& weights) const {
  return at::_grouped_mm(rows, weights.transpose(1, 2), first_.narrow(0, 1, weights.size(0)));
}

}  // namespace thermoe
