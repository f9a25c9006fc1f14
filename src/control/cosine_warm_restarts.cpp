// SPDX-License-Identifier: Apache-2.0
#include "control/cosine_warm_restarts.h"

#include <cmath>
#include <numbers>

#include "core/errors.h"

namespace thermoe {

double CosineCycle::rate(long step) const {
  long into = step;
  long period = first_period;
  while (into >= period) {
    into -= period;
    period *= multiplier;
  }
  const double phase = static_cast<double>(into) / static_cast<double>(period);
  return rate_min + 0.5 * (rate_max - rate_min) * (1.0 + std::cos(std::numbers::pi * phase));
}

CosineWarmRestarts::CosineWarmRestarts(torch::optim::Optimizer& optimizer, const CosineCycle& cycle)
    : LRScheduler(optimizer), cycle_(cycle), groups_(optimizer.param_groups().size()) {
  THERMOE_EXPECT(cycle.first_period >= 1 && cycle.multiplier >= 1, "first_period={} multiplier={}",
                 cycle.first_period, cycle.multiplier);
  THERMOE_EXPECT(0.0 <= cycle.rate_min && cycle.rate_min <= cycle.rate_max, "rates {} to {}",
                 cycle.rate_min, cycle.rate_max);
  for (auto& group : optimizer.param_groups()) group.options().set_lr(cycle_.rate(0));
}

std::vector<double> CosineWarmRestarts::get_lrs() {
  // step() asks before it counts: the rate wanted is that of the update to come.
  return std::vector<double>(groups_, cycle_.rate(static_cast<long>(step_count_) + 1));
}

}  // namespace thermoe
