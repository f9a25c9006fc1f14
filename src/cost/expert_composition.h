// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cost/kernel_cost_model.h"

namespace thermoe {

enum class ExpertActivation { kRelu, kGelu, kSiluMul };

/// One expert's MLP as the ops that it launches. kSiluMul is the gated form: fc1 computes gate and
/// up together, [2 * d_ff, d_model], and the activation leaves d_ff of it.
struct ExpertMlp {
  int d_model = 0;
  int d_ff = 0;
  ExpertActivation activation = ExpertActivation::kSiluMul;
};

/// A whole expert: the sum of its ops, with the weakest basis among them. Energy and heat are
/// absent where any op lacks them.
struct ExpertComposition {
  /// Absent while ops are missing from the model.
  std::optional<OpCost> cost{};
  std::vector<OpKey> ops{};      ///< in order of execution
  std::vector<OpKey> missing{};  ///< those that the model has no table for
};

/// SimpleExpert: fc1, activation, fc2 in `dtype`, for a load of `tokens`.
ExpertComposition simple_expert(const KernelCostModel& model, const ExpertMlp& mlp,
                                const std::string& dtype, double tokens);

/// How a QuantizedExpert multiplies: unpack int4 to `dtype` and run the plain linear, or one fused
/// op.
enum class QuantizedPath { kUnpackThenLinear, kFused };

/// QuantizedExpert with int4 weights (`group_size` as in OpKey) and activations in `dtype`.
ExpertComposition quantized_expert(const KernelCostModel& model, const ExpertMlp& mlp,
                                   QuantizedPath path, const std::string& dtype,
                                   std::optional<int> group_size, double tokens);

}  // namespace thermoe
