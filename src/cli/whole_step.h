// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "cost/kernel_cost_model.h"

namespace thermoe {

/// Whose steps are asked about.
struct WholeStepQuestion {
  ExpertShape shape{};  ///< its layers are those that are charged; its name counts for nothing
  double batch = 1.0;
  std::optional<std::string> engine{};
  std::optional<double> context{};
};

/// What a step costs beside the expert layers, where the cost model knows it; else why only the
/// expert layers are known.
struct WholeStep {
  std::optional<OpCost> other{};
  std::string name{};                ///< "Qwen3-30B-A3B on vLLM 0.25.1"
  std::optional<double> context{};   ///< at which `other` was read
  std::string experts_only_since{};  ///< empty where `other` is known
};

/// Throws UsageError where the engine that is asked for has no costs of a model of this shape.
WholeStep whole_step(const KernelCostModel& costs, const WholeStepQuestion& question);

/// "expert layers only", or what they stand with, for the sentence that says what figures cover.
std::string coverage(const WholeStep& step);

}  // namespace thermoe
