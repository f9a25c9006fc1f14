// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>

#include "core/batch_costs.h"
#include "core/snapshot.h"
#include "core/step_cost.h"
#include "cost/kernel_cost_model.h"
#include "cost/whole_step.h"
#include "engine/engine_config.h"

namespace thermoe {

/// What an engine's steps cost by a cost model: the controller's view of one, or a simulated GPU's.
class EngineCosts {
 public:
  /// Loads `cost_model`, with its energies times `energy_scale`. Throws FormatError or UsageError
  /// where it holds no such layers.
  EngineCosts(const EngineConfig& config, const std::string& cost_model, double energy_scale = 1.0);

  const KernelCostModel& model() const { return model_; }
  const ExpertShape& shape() const { return shape_; }
  /// How many charged layers each layer of the engine's model stands for.
  double layer_repeat() const { return layer_repeat_; }
  /// Of a step of so many rows, padding included.
  const StepCost& at(int rows);
  /// Of the steps of an engine whose requests arrive.
  BatchCosts by_rows(const ServingEngine& engine) const;
  /// What the GPU's measured state makes of costs.
  PerturbationFactors factors(const Snapshot& snapshot) const;
  /// Of such a step beside its expert layers.
  Lookup other(int rows) const;

 private:
  WholeStepQuestion question(int rows) const;

  KernelCostModel model_;
  ExpertShape shape_{};
  std::string dtype_{};
  std::optional<std::string> engine_{};
  std::optional<double> context_{};
  double layer_repeat_ = 1.0;
  std::map<int, StepCost> known_{};  ///< by rows
};

}  // namespace thermoe
