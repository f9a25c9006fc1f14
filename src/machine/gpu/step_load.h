// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "core/logit_sample.h"
#include "core/routing_plan.h"
#include "core/units.h"

namespace thermoe {

/// A decode step as it was decided on the host, for a load to route by itself.
struct StagedStep {
  RoutingPlan plan{};      ///< with the version that the host routed by
  std::uint64_t step = 0;  ///< StepState's: rotates the tokens of a plan's two shares
  LogitSample sample{};    ///< gate logits of every layer of the model
};

/// Where a load's own routing sent the tokens of its last step.
struct RoutedPicks {
  std::uint64_t plan_version = 0;  ///< of the plan that it read
  int layers = 0;                  ///< of the model
  int tokens = 0;
  int slots = 0;                       ///< picks a token may have
  int experts = 0;                     ///< a layer
  std::vector<std::int32_t> expert{};  ///< [layers, tokens, slots]; -1: empty
  std::vector<std::int32_t> counts{};  ///< [layers, experts]
};

/// The work of decode steps on a device. One thread at a time.
class StepLoad {
 public:
  virtual ~StepLoad() = default;
  /// What the steps to come route, from the next one on: all of it changes together.
  virtual void stage(const StagedStep& step) = 0;
  /// Runs one step to its end and says how long the device took for it. Requires a staged step.
  /// Throws CudaError where the device fails.
  virtual Seconds run() = 0;
  /// Of the step that has ended. Valid until the next `run`.
  virtual const RoutedPicks& picks() const = 0;
};

}  // namespace thermoe
