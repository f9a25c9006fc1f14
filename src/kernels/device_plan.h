// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>

#include "core/routing_plan.h"
#include "kernels/backend.h"

namespace thermoe {

/// A plan in device memory, at an address that never changes: captured graphs hold its views, and
/// each replay routes by the plan that was copied there before it (docs/adr/0003-plan-buffer.md).
class DevicePlan {
 public:
  /// Holds the baseline plan with k = 1 until the first update. Throws UsageError where no device
  /// can be used.
  DevicePlan(int layers, int experts);
  ~DevicePlan();
  DevicePlan(const DevicePlan&) = delete;
  DevicePlan& operator=(const DevicePlan&) = delete;

  /// Enqueues a copy of the plan: what the stream was given before reads the old plan, what comes
  /// after the new one, nothing half of each. Returns at once, without waiting for the device;
  /// false where the copies of the last few updates are still waiting there: nothing was done, try
  /// again with the next step. Throws PreconditionError for another shape, or for values that
  /// `find_problem` refuses. All updates come from one thread, none into a
  /// stream that is being captured: a plan goes in before a replay, not in the graph.
  bool update(const RoutingPlan& plan, Stream stream);

  /// Of the plan on the device; for ops of Backend::kCuda and kTriton only.
  PlanLayerView view(int layer) const;
  /// On the device too: says which version a replay read.
  const PlanHeader* header() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace thermoe
