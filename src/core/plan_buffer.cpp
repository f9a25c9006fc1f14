// SPDX-License-Identifier: Apache-2.0
#include "core/plan_buffer.h"

#include <utility>

#include "core/errors.h"

namespace thermoe {

PlanBuffer::PlanBuffer(RoutingPlan initial)
    : slots_{initial, initial, std::move(initial)}, middle_(2) {
  THERMOE_EXPECT(!slots_[0].empty(), "a PlanBuffer needs an initial plan");
}

void PlanBuffer::publish(const RoutingPlan& plan) {
  THERMOE_EXPECT(plan.layers() == slots_[0].layers() && plan.experts() == slots_[0].experts(),
                 "plan of {}x{} published into a buffer of {}x{}", plan.layers(), plan.experts(),
                 slots_[0].layers(), slots_[0].experts());
  const auto problem = find_problem(plan);
  THERMOE_EXPECT(!problem, "a plan that cannot run: {}", *problem);
  slots_[back_] = plan;
  slots_[back_].header().version = ++version_;
  back_ = middle_.exchange(back_ | kFresh, std::memory_order_acq_rel) & ~kFresh;
}

const RoutingPlan& PlanBuffer::acquire() {
  if ((middle_.load(std::memory_order_relaxed) & kFresh) != 0) {
    front_ = middle_.exchange(front_, std::memory_order_acq_rel) & ~kFresh;
  }
  return slots_[front_];
}

}  // namespace thermoe
