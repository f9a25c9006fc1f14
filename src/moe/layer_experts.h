// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "kernels/backend.h"
#include "kernels/device_expert_bank.h"
#include "kernels/expert_bank.h"
#include "moe/expert_type.h"
#include "moe/model_weights.h"

namespace thermoe {

/// A layer's experts in the precisions that `type` asks for. Throws UsageError where int4 groups do
/// not divide the model's d_model and d_ff.
ExpertBank make_expert_bank(const LayerWeights& weights, const ModelConfig& config, ExpertType type,
                            int int4_group);

/// Such a bank where a backend's kernels read it: in host memory, or on the CUDA device alone.
class LayerExperts {
 public:
  /// Throws UsageError too where kCuda cannot run them: no device, or weights that are not exact in
  /// bf16.
  LayerExperts(ExpertBank bank, Backend backend);

  ExpertBankView view() const;

 private:
  std::optional<ExpertBank> host_{};
  DeviceExpertBank device_{};
};

}  // namespace thermoe
