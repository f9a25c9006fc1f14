// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "core/routing_plan.h"
#include "core/triple_buffer.h"

namespace thermoe {

/// Hands plans from one control thread to one data thread without locks and without tearing: a
/// triple buffer. `publish` never waits for the reader; `acquire` never waits for the writer and
/// returns the newest published plan, which stays untouched until the reader acquires again. A step
/// acquires once, so that all its layers see one version. On a GPU the same block is copied to a
/// fixed device address on the step's stream between two steps (docs/adr/0003-plan-buffer.md).
class PlanBuffer {
 public:
  explicit PlanBuffer(const RoutingPlan& initial);

  /// Writer side. Stamps the plan with the next version. The shape must be the initial plan's, its
  /// values such as `find_problem` wants them: the data plane does not look again.
  void publish(const RoutingPlan& plan);

  /// Reader side.
  const RoutingPlan& acquire();

 private:
  TripleBuffer<RoutingPlan> plans_;
  std::uint64_t version_ = 0;  // writer's
};

}  // namespace thermoe
