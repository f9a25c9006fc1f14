// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/batch_costs.h"
#include "core/step_cost.h"
#include "cost/kernel_cost_model.h"

namespace thermoe {

/// Whose steps are asked about.
struct WholeStepQuestion {
  ExpertShape shape{};  ///< its layers are those that are charged; its name counts for nothing
  double batch = 1.0;
  std::optional<std::string> engine{};
  std::optional<double> context{};
  // How the asker is told to choose, in messages:
  std::string engine_key = "--engine";
  std::string layers_key = "--layers";
};

/// What a step costs beside the expert layers, where the cost model knows it; else why only the
/// expert layers are known.
struct WholeStep {
  std::optional<OpCost> other{};     ///< heat where the cost model has a thermal model
  std::string name{};                ///< "Qwen3-30B-A3B on vLLM 0.25.1"
  std::optional<double> context{};   ///< at which `other` was read
  std::string experts_only_since{};  ///< empty where `other` is known

  /// Nothing where only the expert layers are known; joules that nobody measured count as none,
  /// which `coverage` says.
  Cost cost() const;
  /// The same, and how firmly it is known.
  Lookup lookup() const;
};

/// Of the only engine, or of the one that is asked for. Throws UsageError where that one has no
/// costs of a model of this shape.
WholeStep whole_step(const KernelCostModel& costs, const WholeStepQuestion& question);

/// The engine that `thermoe run` on a real GPU and `thermoe profile --step` are: expert layers,
/// their routing and the gaps between.
inline constexpr const char* kLoadProxyEngine = "thermoe load proxy";
/// Of that one, where the cost model has it for these layers; else nothing beside them.
WholeStep load_proxy_step(const KernelCostModel& costs, const ExpertShape& shape, double batch);

/// Whether the file has such costs of a model of this shape, of whatever engine.
bool knows_others(const KernelCostModel& costs, const ExpertShape& shape);

/// The same steps with what they cost beside their `layers` charged expert layers: a constant of
/// the step is one of its layers, shared out. Unchanged where nothing is known.
StepCost with_other(StepCost experts, const WholeStep& step, int layers);

/// The controller's view of an engine's decode steps by their rows: each number is a batch of its
/// own, beside whose experts the model of `question` (its batch apart) costs what it costs there.
BatchCosts batch_costs(const KernelCostModel& costs, const ServingEngine& engine,
                       const std::vector<std::string>& dtypes, WholeStepQuestion question,
                       double layer_repeat);

/// "expert layers only", or what they stand with, for the sentence that says what figures cover.
std::string coverage(const WholeStep& step);

}  // namespace thermoe
