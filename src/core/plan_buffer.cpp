// SPDX-License-Identifier: Apache-2.0
#include "core/plan_buffer.h"

#include "core/errors.h"

namespace thermoe {

PlanBuffer::PlanBuffer(const RoutingPlan& initial) : plans_(initial) {
  THERMOE_EXPECT(!initial.empty(), "a PlanBuffer needs an initial plan");
}

void PlanBuffer::publish(const RoutingPlan& plan) {
  RoutingPlan& back = plans_.back();
  THERMOE_EXPECT(plan.layers() == back.layers() && plan.experts() == back.experts(),
                 "plan of {}x{} published into a buffer of {}x{}", plan.layers(), plan.experts(),
                 back.layers(), back.experts());
  const auto problem = find_problem(plan);
  THERMOE_EXPECT(!problem, "a plan that cannot run: {}", *problem);
  back = plan;
  back.header().version = ++version_;
  plans_.publish();
}

const RoutingPlan& PlanBuffer::acquire() { return plans_.acquire(); }

}  // namespace thermoe
