// SPDX-License-Identifier: Apache-2.0
#include "moe/layer_experts.h"

#include <utility>

#include "core/errors.h"

namespace thermoe {

ExpertBank make_expert_bank(const LayerWeights& weights, const ModelConfig& c, ExpertType type,
                            int int4_group) {
  ExpertBank bank({.experts = c.experts, .d_model = c.d_model, .d_ff = c.d_ff});
  const ExpertTensors tensors{
      .gate = weights.gate.data(), .up = weights.up.data(), .down = weights.down.data()};
  if (type != ExpertType::kQuantized) bank.load_f32(tensors);
  if (type != ExpertType::kSimple) {
    THERMOE_EXPECT(int4_group >= 1, "int4_group={} must be 32, 64 or 128", int4_group);
    if (c.d_model % int4_group != 0 || c.d_ff % int4_group != 0) {
      throw UsageError(
          fmt::format("expert type {}: int4 groups of {} must divide d_model={} and d_ff={}; use "
                      "simple experts",
                      to_string(type), int4_group, c.d_model, c.d_ff));
    }
    bank.load_int4(tensors, {.group = int4_group});
  }
  return bank;
}

LayerExperts::LayerExperts(ExpertBank bank, Backend backend) {
  if (backend == Backend::kCpu) {
    host_ = std::move(bank);
    return;
  }
  if (bank.has_f32() && !bank.f32_is_bf16()) {
    throw UsageError(
        "kernels cuda run bf16 and int4 experts; these weights are f32 and not exact in bf16: use "
        "--experts quantized, or --kernels cpu");
  }
  device_ = DeviceExpertBank(bank.view());
}

ExpertBankView LayerExperts::view() const { return host_ ? host_->view() : device_.view(); }

}  // namespace thermoe
