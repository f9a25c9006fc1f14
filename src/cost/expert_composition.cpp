// SPDX-License-Identifier: Apache-2.0
#include "cost/expert_composition.h"

namespace thermoe {
namespace {

using Shape = std::vector<int>;

Shape fc1_shape(const ExpertMlp& mlp) {
  const int out = mlp.activation == ExpertActivation::kSiluMul ? 2 * mlp.d_ff : mlp.d_ff;
  return {out, mlp.d_model};
}

Shape fc2_shape(const ExpertMlp& mlp) { return {mlp.d_model, mlp.d_ff}; }

OpKey activation_op(const ExpertMlp& mlp, const std::string& dtype) {
  OpKey key{.shape = {mlp.d_ff}, .dtype = dtype};
  switch (mlp.activation) {
    case ExpertActivation::kRelu:
      key.op = "activation_relu";
      break;
    case ExpertActivation::kGelu:
      key.op = "activation_gelu";
      break;
    case ExpertActivation::kSiluMul:
      key.op = "activation_silu_mul";
      break;
  }
  return key;
}

ExpertComposition compose(const KernelCostModel& model, std::vector<OpKey> ops, double tokens) {
  ExpertComposition expert{.ops = std::move(ops)};
  OpCost total{.energy = Joules{}, .heat = Celsius{}};
  for (const OpKey& key : expert.ops) {
    const auto cost = model.lookup(key, tokens);
    if (!cost) {
      expert.missing.push_back(key);
      continue;
    }
    total.latency += cost->latency;
    total.energy =
        total.energy && cost->energy ? std::optional(*total.energy + *cost->energy) : std::nullopt;
    total.heat = total.heat && cost->heat ? std::optional(*total.heat + *cost->heat) : std::nullopt;
    total.basis = weaker(total.basis, cost->basis);
  }
  if (expert.missing.empty()) expert.cost = total;
  return expert;
}

}  // namespace

ExpertComposition simple_expert(const KernelCostModel& model, const ExpertMlp& mlp,
                                const std::string& dtype, double tokens) {
  return compose(model,
                 {{.op = "linear", .shape = fc1_shape(mlp), .dtype = dtype},
                  activation_op(mlp, dtype),
                  {.op = "linear", .shape = fc2_shape(mlp), .dtype = dtype}},
                 tokens);
}

ExpertComposition quantized_expert(const KernelCostModel& model, const ExpertMlp& mlp,
                                   QuantizedPath path, const std::string& dtype,
                                   std::optional<int> group_size, double tokens) {
  std::vector<OpKey> ops;
  const auto add_linear = [&](const Shape& shape) {
    if (path == QuantizedPath::kFused) {
      ops.push_back({"fused_dequant_linear", shape, "int4", group_size});
      return;
    }
    ops.push_back({"dequant_unpack", shape, "int4", group_size});
    ops.push_back({.op = "linear", .shape = shape, .dtype = dtype});
  };
  add_linear(fc1_shape(mlp));
  ops.push_back(activation_op(mlp, dtype));
  add_linear(fc2_shape(mlp));
  return compose(model, std::move(ops), tokens);
}

}  // namespace thermoe
