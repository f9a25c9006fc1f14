// SPDX-License-Identifier: Apache-2.0
#include "control/cosine_warm_restarts.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/errors.h"

namespace thermoe {
namespace {

constexpr CosineCycle kCycle{
    .rate_max = 0.1, .rate_min = 0.01, .first_period = 10, .multiplier = 2};

double rate_of(torch::optim::Optimizer& optimizer) {
  return optimizer.param_groups().front().options().get_lr();
}

TEST(CosineWarmRestarts, FollowsTheClosedFormula) {
  auto parameter = torch::zeros({2}, torch::requires_grad());
  torch::optim::AdamW optimizer({parameter}, torch::optim::AdamWOptions(0.5));
  CosineWarmRestarts schedule(optimizer, kCycle);
  const int starts[] = {0, 10, 30, 70};  // periods of 10, 20, 40
  for (int step = 0; step < 70; ++step) {
    int period = 0;
    while (step >= starts[period + 1]) ++period;
    const double length = starts[period + 1] - starts[period];
    const double phase = (step - starts[period]) / length;
    const double expected = 0.01 + 0.5 * (0.1 - 0.01) * (1.0 + std::cos(M_PI * phase));
    EXPECT_NEAR(rate_of(optimizer), expected, 1e-12) << "step " << step;
    schedule.step();
  }
}

TEST(CosineWarmRestarts, ReturnsToTheMaximumAtEachRestart) {
  for (const long restart : {0L, 10L, 30L, 70L, 150L}) EXPECT_DOUBLE_EQ(kCycle.rate(restart), 0.1);
  EXPECT_LT(kCycle.rate(29), 0.011);
}

TEST(CosineWarmRestarts, AMultiplierOfOneRepeatsTheSamePeriod) {
  const CosineCycle cycle{.rate_max = 1.0, .rate_min = 0.0, .first_period = 7, .multiplier = 1};
  for (long step = 0; step < 21; ++step) EXPECT_DOUBLE_EQ(cycle.rate(step), cycle.rate(step % 7));
}

TEST(CosineWarmRestarts, RefusesAnEmptyPeriod) {
  auto parameter = torch::zeros({2}, torch::requires_grad());
  torch::optim::AdamW optimizer({parameter}, torch::optim::AdamWOptions(0.5));
  EXPECT_THROW(CosineWarmRestarts(optimizer, {.first_period = 0}), PreconditionError);
}

}  // namespace
}  // namespace thermoe
