// SPDX-License-Identifier: Apache-2.0
#include "kernels/grouped_experts.h"

#include "core/errors.h"
#include "core/named_values.h"
#include "device_call.h"
#include "int4_arguments.h"
#include "kernels/expert_order.h"
#include "named_argument.h"
#include "ops.h"

namespace thermoe::torch_ops {
namespace {

constexpr std::int64_t kPanel = 16;

constexpr NamedValues<ExpertKind, 3> kKinds{{
    {ExpertKind::kSwiGlu, "swiglu"},
    {ExpertKind::kRelu, "relu"},
    {ExpertKind::kGelu, "gelu"},
}};

ExpertLayerShape layer_shape(const Tensor& hidden, const Tensor& up, const ExpertsArguments& e,
                             bool has_gate) {
  const ExpertLayerShape shape{.experts = to_int(up.sizes().empty() ? 0 : up.size(0), "experts"),
                               .d_model = to_int(hidden.size(1), "d_model"),
                               .d_ff = to_int(e.d_ff, "d_ff"),
                               .kind = named(kKinds, "kind", e.kind)};
  THERMOE_EXPECT(shape.d_model >= 1 && shape.d_ff >= 1, "d_model={} and d_ff={} must be 1 or more",
                 shape.d_model, shape.d_ff);
  THERMOE_EXPECT(has_gate == (shape.kind == ExpertKind::kSwiGlu), "gate is {}",
                 has_gate ? "for swiglu only" : "missing");
  return shape;
}

/// One matrix [outputs, inputs] of every expert in panels of f32 or of pairs of bf16.
template <class Element>
PanelMatrices<Element> panels(const Arguments& tensors, const Tensor& t, const char* name,
                              std::int64_t experts, std::int64_t outputs, std::int64_t inputs) {
  const std::int64_t count = (outputs + kPanel - 1) / kPanel;
  std::int64_t row = inputs;
  if constexpr (std::is_same_v<Element, float>) {
    tensors.expect(t, name, {DType::kF32}, {experts, count, inputs, kPanel});
  } else {
    row = (inputs + 1) / 2;
    tensors.expect(t, name, {DType::kBf16}, {experts, count, row, kPanel, 2});
  }
  Arguments::expect_aligned(t, name, 64);
  return {.first = t.data_as<Element>(),
          .stride = static_cast<std::ptrdiff_t>(count * row * kPanel)};
}

template <class Element>
ExpertWeights<PanelMatrices<Element>> panel_weights(const Arguments& tensors,
                                                    const PanelArguments& w,
                                                    const ExpertLayerShape& s) {
  ExpertWeights<PanelMatrices<Element>> weights;
  if (w.gate)
    weights.gate = panels<Element>(tensors, *w.gate, "gate", s.experts, s.d_ff, s.d_model);
  weights.up = panels<Element>(tensors, w.up, "up", s.experts, s.d_ff, s.d_model);
  weights.down = panels<Element>(tensors, w.down, "down", s.experts, s.d_model, s.d_ff);
  return weights;
}

Tensor scratch(const Tensor& like, std::size_t bytes) {
  return empty(like, {static_cast<std::int64_t>(bytes)}, DType::kU8);
}

/// Sorts the picks, then runs the experts of `bank`.
Tensor run(Backend backend, const Arguments& tensors, const DeviceCall& device,
           const Tensor& hidden, const Picks& picks, const ExpertsArguments& e,
           ExpertBankView bank) {
  const ExpertLayerShape& shape = bank.shape;
  bank.up_bias = static_cast<const float*>(
      tensors.expect(e.up_bias, "up_bias", DType::kF32, {shape.experts, shape.padded_ff()}));
  bank.down_bias = static_cast<const float*>(
      tensors.expect(e.down_bias, "down_bias", DType::kF32, {shape.experts, shape.padded_model()}));
  const int tokens = to_int(hidden.size(0), "tokens");
  tensors.expect(picks.ids, "ids", {DType::kI32}, {tokens, Arguments::kAny});
  const int slots = to_int(picks.ids.size(1), "slots");
  tensors.expect(picks.weights, "weights", {DType::kF32}, {tokens, slots});
  Arguments::expect_aligned(hidden, "hidden", 16);

  const Tensor first = empty(hidden, {shape.experts + 1}, DType::kI32);
  const Tensor pair = empty(hidden, {std::int64_t{tokens} * slots}, DType::kI32);
  const ExpertOrder order{first.mutable_as<std::int32_t>(), pair.mutable_as<std::int32_t>()};
  const Tensor order_space =
      scratch(hidden, order_by_expert_workspace(backend, tokens, slots, shape.experts));
  order_by_expert(backend,
                  {.expert = picks.ids.data_as<std::int32_t>(),
                   .tokens = tokens,
                   .slots = slots,
                   .experts = shape.experts,
                   .order = order,
                   .workspace = order_space.mutable_as<std::byte>(),
                   .workspace_size = static_cast<std::size_t>(order_space.size(0))},
                  device.stream());

  Tensor out = empty(hidden, {tokens, shape.d_model}, hidden.dtype());
  const Tensor space = scratch(hidden, grouped_experts_workspace(backend, shape, tokens, slots));
  const FloatType type = float_type(hidden.dtype());
  grouped_experts(backend,
                  {.bank = bank,
                   .hidden = hidden.data(),
                   .hidden_type = type,
                   .tokens = tokens,
                   .expert = picks.ids.data_as<std::int32_t>(),
                   .weight = picks.weights.data_as<float>(),
                   .slots = slots,
                   .order = order,
                   .workspace = space.mutable_as<std::byte>(),
                   .workspace_size = static_cast<std::size_t>(space.size(0)),
                   .out = out.mutable_data(),
                   .out_type = type},
                  device.stream());
  return out;
}

void expect_hidden(const Arguments& tensors, const Tensor& hidden) {
  tensors.expect(hidden, "hidden", {DType::kF32, DType::kBf16, DType::kF16},
                 {Arguments::kAny, Arguments::kAny});
}

}  // namespace

Tensor grouped_experts(Backend backend, const Tensor& hidden, const Picks& picks,
                       const PanelArguments& weights, const ExpertsArguments& experts) {
  const DeviceCall device(backend, hidden);
  const Arguments tensors(backend, hidden, "hidden");
  expect_hidden(tensors, hidden);
  ExpertBankView bank{.shape = layer_shape(hidden, weights.up, experts, weights.gate.has_value())};
  if (weights.up.dtype() == DType::kBf16) {
    bank.bf16 = panel_weights<std::uint32_t>(tensors, weights, bank.shape);
  } else {
    bank.f32 = panel_weights<float>(tensors, weights, bank.shape);
  }
  return run(backend, tensors, device, hidden, picks, experts, bank);
}

Tensor grouped_experts_int4(Backend backend, const Tensor& hidden, const Picks& picks,
                            const std::optional<Int4Arguments>& gate, const Int4Arguments& up,
                            const Int4Arguments& down, const ExpertsArguments& experts) {
  const DeviceCall device(backend, hidden);
  const Arguments tensors(backend, hidden, "hidden");
  expect_hidden(tensors, hidden);
  ExpertBankView bank{.shape = layer_shape(hidden, up.words, experts, gate.has_value())};
  const auto [count, d_model, d_ff, kind] = bank.shape;
  if (gate) bank.int4.gate = int4_matrices(tensors, *gate, "gate_", count, d_ff, d_model);
  bank.int4.up = int4_matrices(tensors, up, "up_", count, d_ff, d_model);
  bank.int4.down = int4_matrices(tensors, down, "down_", count, d_model, d_ff);
  THERMOE_EXPECT(!gate || bank.int4.gate.first.group == bank.int4.up.first.group,
                 "gate_scales has groups of {} inputs, up_scales of {}; both have the same",
                 bank.int4.gate.first.group, bank.int4.up.first.group);
  const bool zeros = up.zero_points.has_value();
  THERMOE_EXPECT(
      down.zero_points.has_value() == zeros && (!gate || gate->zero_points.has_value() == zeros),
      "zero_points are given for some matrices only; give them for all (8: symmetric) or for none");
  return run(backend, tensors, device, hidden, picks, experts, bank);
}

}  // namespace thermoe::torch_ops
