// SPDX-License-Identifier: Apache-2.0
#include "control/kernel_aware_ttha.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "control/calibration.h"
#include "loop_fixture.h"

namespace thermoe {
namespace {

using testing::TruthTick;

/// Proposes what it is told to, and hands each tick to the test.
class Spy final : public PlanAdapter {
 public:
  using See = std::function<AdapterOutput(const AdapterTick&)>;
  explicit Spy(See see) : see_(std::move(see)) {}
  AdapterOutput update_ttha(const AdapterTick& tick) override { return see_(tick); }
  void restart() override {}

 private:
  See see_;
};

AdapterOutput nothing(const ControllerConfig& c) {
  return {.bias = std::vector<float>(static_cast<std::size_t>(c.layers * c.router.experts), 0.0F),
          .log_price = std::vector<float>(static_cast<std::size_t>(c.layers), 0.0F)};
}

TEST(KernelAwareTtha, TellsTheAdapterTheDualsPriceOfTime) {
  const ControllerConfig config =
      testing::dual_config({.power = Watts(300.0)}, {.layers = 2, .experts = 64, .k = 8});
  int checked = 0;
  const auto see = [&](const AdapterTick& tick) {
    EXPECT_TRUE(tick.relative_prices);
    if (tick.lambda > 0.0 && tick.expected) {  // eq. (17)
      const RoutingStats plain = plain_loads(*tick.utilities).back();
      const double saved = config.costs.layer_repeat * 3.2e-6;
      const double full = 2 * (plain.mean_active() * saved + config.costs.layer_repeat * 4e-6);
      const double rows = 2.0 * testing::kTokens;
      EXPECT_NEAR(tick.shadow_price, tick.lambda * full / (saved * rows * tick.expected->kept_mass),
                  1e-9 * tick.shadow_price);
      EXPECT_GT(tick.shadow_price, 0.0);
      ++checked;
    }
    return nothing(config);
  };
  testing::run_ttha(config, {}, 2.0, 7, {}, std::make_unique<Spy>(see));
  EXPECT_GT(checked, 10);
}

TEST(KernelAwareTtha, GivesAnAdapterAloneNoPriceOfTime) {
  ControllerConfig config =
      testing::dual_config({.power = Watts(300.0)}, {.layers = 2, .experts = 64, .k = 8});
  config.mode = TthaMode::kAdapterOnly;
  testing::calibrate(config, 7, 4);
  const auto see = [&](const AdapterTick& tick) {
    EXPECT_EQ(tick.shadow_price, 0.0);
    EXPECT_FALSE(tick.relative_prices);
    return nothing(config);
  };
  testing::run_ttha(config, {}, 1.0, 7, {}, std::make_unique<Spy>(see));
}

TEST(KernelAwareTtha, StartsAnAdapterAloneAtTheCalibratedPriceHoweverSmall) {
  // A steep router: experts that one token likes a little can go for little.
  ControllerConfig config =
      testing::dual_config({.power = Watts(340.0)}, {.layers = 2, .experts = 64, .k = 8});
  config.mode = TthaMode::kAdapterOnly;
  testing::calibrate(config, 7, 4);
  for (LogitSample& sample : config.calibration) {
    for (float& x : sample.logits) x *= 2.0F;
  }
  const double calibrated = calibrate(config).lambda;
  ASSERT_GT(calibrated, 0.001);
  ASSERT_LT(calibrated, 0.01);
  const auto see = [&](const AdapterTick& tick) {
    EXPECT_EQ(tick.lambda, calibrated);
    return nothing(config);
  };
  testing::run_ttha(config, {}, 0.3, 7, {}, std::make_unique<Spy>(see));
}

/// One layer, four tokens that all like expert 0 best, and experts 1 to 4 nearly as well, each
/// token another one first: the floor is expert 0 alone, and under a bias against it the other
/// four, which keep nearly everything.
LogitSample near_ties() {
  LogitSample sample{.layers = 1, .tokens = 4, .experts = 8};
  for (int t = 0; t < 4; ++t) {
    for (int e = 0; e < 8; ++e) {
      const float liked = e == t + 1 ? 0.995F : 0.99F;
      sample.logits.push_back(e == 0 ? 1.0F : e <= 4 ? liked : -4.0F);
    }
  }
  return sample;
}

TEST(KernelAwareTtha, RunsNoProposalThatMissesTheTargetsHoweverMuchItKeeps) {
  ControllerConfig config = testing::dual_config({}, {.layers = 1, .experts = 8, .k = 2});
  config.guard.bias_clamp = 0.5;
  const LogitSample sample = near_ties();
  const auto power_of = [&](double active) {
    return 130.0 + 48.0 * (active * 1.38e-3 + 1e-3) / 0.016;
  };
  config.targets.power = Watts(power_of(1.5));  // between the two floors
  const auto see = [&](const AdapterTick&) {
    AdapterOutput out = nothing(config);
    out.bias[0] = 0.4F;
    return out;
  };
  KernelAwareTtha controller(config, std::make_unique<Spy>(see));
  const testing::ReferenceRouter router(config.router);
  RoutingPlan plan(1, 8, 2);
  for (int i = 1; i <= 5; ++i) {
    const RoutingStats stats = router.route(sample, plan);
    const Seconds now(0.1 * i);
    const Cost cost = config.costs.step(stats);
    Snapshot snapshot{.gpus = std::vector<GpuReading>(1)};
    snapshot.gpus[0].power_instant = {
        mean_power(cost, config.step_period, config.costs.active_idle) + Watts(0.01 * i), now, now};
    const StepMetrics metrics{.at = now,
                              .tick = Seconds(0.1),
                              .step_time = cost.latency,
                              .step_period = config.step_period};
    plan = controller
               .decide({.now = now,
                        .snapshot = snapshot,
                        .stats = stats,
                        .sample = sample,
                        .metrics = metrics,
                        .costs = config.costs})
               .plan;
    EXPECT_EQ(plan.selection_bias(0)[0], 0.0F) << "tick " << i;
    EXPECT_FALSE(controller.state().saturated) << "the dual alone reaches the cap";
    EXPECT_LT(controller.state().predicted_active, 1.5);
  }
}

}  // namespace
}  // namespace thermoe
