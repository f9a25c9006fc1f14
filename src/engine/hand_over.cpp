// SPDX-License-Identifier: Apache-2.0
#include "engine/hand_over.h"

#include <cmath>
#include <utility>

#include "core/errors.h"

namespace thermoe {

HandOver::HandOver(const HandedDecision& initial)
    : layers_(initial.routes.plan.layers()),
      experts_(initial.routes.plan.experts()),
      decisions_(initial),
      stand_in_(initial.routes) {}

std::uint64_t HandOver::publish(HandedDecision decision) {
  const RoutingPlan& plan = decision.routes.plan;
  THERMOE_EXPECT(plan.layers() == layers_ && plan.experts() == experts_,
                 "plan of {}x{} handed to an engine of {}x{}", plan.layers(), plan.experts(),
                 layers_, experts_);
  THERMOE_EXPECT(!decision.valid_until || decision.safe, "what grows old needs a safe plan");
  THERMOE_EXPECT(std::isfinite(decision.step_period.value) && decision.step_period >= Seconds(0),
                 "a step period of {} s", decision.step_period.value);
  const auto problem = find_problem(plan);
  THERMOE_EXPECT(!problem, "a plan that cannot run: {}", *problem);
  version_ += 2;
  decision.routes.plan.header().version = version_;
  decisions_.back() = std::move(decision);
  decisions_.publish();
  return version_;
}

HandOver::Held HandOver::acquire(Seconds now) {
  const HandedDecision& newest = decisions_.acquire();
  const std::uint64_t version = newest.routes.plan.header().version;
  if (!newest.valid_until || now < *newest.valid_until) {
    return {.version = version,
            .routes = newest.routes,
            .step_period = newest.step_period,
            .valid_until = newest.valid_until,
            .calibrating = newest.calibrating};
  }
  if (stand_in_.plan.header().version != version + 1) {
    stand_in_ = *newest.safe;  // of the same sizes: nothing is allocated
    stand_in_.plan.header().version = version + 1;
  }
  return {.version = version + 1,
          .routes = stand_in_,
          .step_period = newest.safe_step_period,
          .safe = true};
}

}  // namespace thermoe
