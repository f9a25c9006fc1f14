// SPDX-License-Identifier: Apache-2.0
#include "control/calibration.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

#include "control/plan_writer.h"
#include "control/safe_plan.h"
#include "loop_fixture.h"

namespace thermoe {
namespace {

using testing::LogitSource;
using testing::ReferenceRouter;

/// Twelve experts, every other one three times as dear in energy and half as long.
ControllerConfig mixed_config(double cap) {
  ControllerConfig c =
      testing::dual_config({.power = Watts(cap)}, {.layers = 1, .experts = 12, .k = 3});
  const Cost cheap{Seconds(3.2e-6), Joules(1.4e-3), Celsius(0)};
  const Cost dear{Seconds(1.6e-6), Joules(4.2e-3), Celsius(0)};
  c.costs.variants = {CostCurve({{1.0, cheap}, {8.0, 2.0 * cheap}}),
                      CostCurve({{1.0, dear}, {8.0, 2.0 * dear}})};
  for (std::uint8_t e = 0; e < 12; ++e) c.variant.push_back(e % 2);
  LogitSource source(1, 8, 12, 17);
  for (int i = 0; i < 3; ++i) c.calibration.push_back(source.next());
  return c;
}

/// Mean demand of a plan by the rule read literally.
Demand routed(const ControllerConfig& c, const RoutingPlan& plan) {
  Demand mean{.kept_mass = 0.0};
  const double share = 1.0 / static_cast<double>(c.calibration.size());
  for (const LogitSample& sample : c.calibration) {
    const RoutingStats stats = ReferenceRouter(c.router).route(sample, plan);
    mean.cost += share * c.costs.step(stats, c.variant);
    mean.kept_mass += share * stats.kept_mass;
  }
  return mean;
}

struct Found {
  double kept_mass = 0.0;
  bool biased = false;
  int k_min = 0;
};

/// The most kept mass within the cap of everything that may be tried: k_min, the strength of b, and
/// a fine grid of lambda. Written out from theory.md section 2, not with the code under test.
Found best_by_hand(const ControllerConfig& c) {
  const double load = 3.0 * 8.0 / [&] {
    double active = 0.0;
    for (const LogitSample& s : c.calibration) {
      active += ReferenceRouter(c.router).route(s, baseline_plan_of(c)).mean_active() /
                static_cast<double>(c.calibration.size());
    }
    return active;
  }();
  const auto slope = [&](int v) { return c.costs.variants[v].at(load).energy.value / load; };
  Found best;
  for (int k_min = 1; k_min <= 3; ++k_min) {
    for (const double strength : {0.0, 0.01, 0.02, 0.04, 0.08}) {
      PricingParameters p{.k = c.router.k, .k_min = k_min};
      for (const std::uint8_t v : c.variant) {
        p.unit_price.push_back(v == 1 ? 1.5F : 0.5F);  // 4.2 and 1.4 mJ, mean 2.8
        const double b = v == 1 ? strength * (slope(1) - slope(0)) / slope(1) : 0.0;
        p.bias.push_back(static_cast<float>(std::min(b, c.guard.bias_clamp)));
      }
      for (double lambda = 0.0; lambda < 2.0; lambda += 0.002) {
        const Demand d = routed(c, priced_plan(c, p, lambda));
        if (!meets_at_reference(c, d.cost) || d.kept_mass <= best.kept_mass) continue;
        best = {d.kept_mass, strength > 0.0, k_min};
      }
    }
  }
  return best;
}

TEST(Calibration, IsTheBestOfAllThatItMayTry) {
  const double full = [] {
    const ControllerConfig c = mixed_config(1e4);
    return mean_power(routed(c, baseline_plan_of(c)).cost, c.step_period, c.costs.active_idle)
        .value;
  }();
  int biased = 0;
  for (const double share : {0.95, 0.9, 0.85, 0.8, 0.75}) {
    const ControllerConfig c = mixed_config(130.0 + share * (full - 130.0));
    const Calibration got = calibrate(c);
    const Found expected = best_by_hand(c);
    ASSERT_TRUE(got.reached) << share;
    EXPECT_TRUE(meets_at_reference(c, got.demand.cost)) << share;
    EXPECT_NEAR(got.demand.kept_mass, expected.kept_mass, 1e-4) << share;
    const Demand runs = routed(c, priced_plan(c, got.parameters, got.lambda));
    EXPECT_NEAR(runs.kept_mass, got.demand.kept_mass, 1e-5) << "what is promised is routed";
    EXPECT_NEAR(runs.cost.energy.value, got.demand.cost.energy.value, 1e-9);
    biased += expected.biased;
  }
  EXPECT_GT(biased, 0) << "the case must need a bias somewhere";
}

TEST(Calibration, RowsOfSamplesAreDealtOutToBatchesInTheirOrder) {
  std::vector<LogitSample> samples;
  float row = 0.0F;
  for (const int tokens : {3, 1, 4}) {
    LogitSample sample{.layers = 2, .tokens = tokens, .experts = 2};
    for (int l = 0; l < 2; ++l) {
      for (int t = 0; t < tokens; ++t) {
        const float name = row + static_cast<float>(t) + (l == 0 ? 0.0F : 0.5F);
        sample.logits.insert(sample.logits.end(), {name, -name});
      }
    }
    row += static_cast<float>(tokens);
    samples.push_back(std::move(sample));
  }
  const std::vector<LogitSample> batches = in_batches_of(3, samples);
  ASSERT_EQ(batches.size(), 2U) << "two of eight rows are left over";
  EXPECT_EQ(batches[0].logits, samples[0].logits);
  EXPECT_EQ(batches[1].tokens, 3);
  EXPECT_EQ(batches[1].logits, (std::vector<float>{3.0F, -3.0F, 4.0F, -4.0F, 5.0F, -5.0F,  //
                                                   3.5F, -3.5F, 4.5F, -4.5F, 5.5F, -5.5F}));
  ASSERT_EQ(in_batches_of(9, samples).size(), 1U);
  EXPECT_EQ(in_batches_of(9, samples)[0].tokens, 8);
  EXPECT_EQ(in_batches_of(0, samples).size(), 8U);
  EXPECT_TRUE(in_batches_of(4, {}).empty());
}

TEST(Calibration, TakesAPriceThatIsGivenAndReachesForNoTarget) {
  ControllerConfig config = mixed_config(1.0);
  config.price = 0.25;
  const Calibration given = calibrate(config);
  EXPECT_EQ(given.lambda, 0.25);
  EXPECT_TRUE(given.parameters.bias.empty());
  const Demand demand = routed(config, static_plan(config, given));
  EXPECT_NEAR(given.demand.cost.energy.value, demand.cost.energy.value,
              1e-6 * demand.cost.energy.value);
  config.price = 0.0;
  EXPECT_GT(calibrate(config).demand.active, given.demand.active);
}

TEST(Calibration, PutsTheBiasOnTheExpertsOfMoreJoulesPerToken) {
  int biased = 0;
  for (const double cap : {190.0, 200.0, 210.0, 220.0, 230.0, 240.0}) {
    const Calibration got = calibrate(mixed_config(cap));
    if (got.parameters.bias.empty()) continue;
    ++biased;
    for (std::size_t e = 0; e < 12; ++e) {
      const bool dear = e % 2 == 1;
      EXPECT_EQ(got.parameters.bias[e] > 0.0F, dear) << e;
      EXPECT_GE(got.parameters.bias[e], 0.0F) << e;
    }
  }
  EXPECT_GT(biased, 0);
}

TEST(Calibration, ActivationsArePricedByTheirEnergyNotTheirTime) {
  const ControllerConfig c = mixed_config(200.0);
  const auto prices = unit_prices(c.costs, 1, 12, c.variant);
  EXPECT_NEAR(prices[1] / prices[0], 3.0, 1e-6);
}

TEST(Calibration, TheDualPricesWhatTheCalibrationWouldHaveSpared) {
  // A k_min that suits the undisturbed machine must not keep the dual from a tighter cap.
  for (double cap = 190.0; cap < 260.0; cap += 2.0) {
    const ControllerConfig c = mixed_config(cap);
    if (calibrate(c).parameters.k_min == c.k_min) continue;
    KernelAwareTtha dual(c, nullptr);
    const LogitSample& sample = c.calibration.front();
    const RoutingStats stats = ReferenceRouter(c.router).route(sample, baseline_plan_of(c));
    Snapshot snapshot{.gpus = std::vector<GpuReading>(1)};
    snapshot.gpus[0].power_instant = {Watts(300.0), Seconds(0.1), Seconds(0.1)};
    const StepMetrics metrics{.at = Seconds(0.1),
                              .tick = Seconds(0.1),
                              .step_time = Seconds(0.01),
                              .step_period = c.step_period};
    const RoutingPlan plan = dual.decide({.now = Seconds(0.1),
                                          .snapshot = snapshot,
                                          .stats = stats,
                                          .sample = sample,
                                          .metrics = metrics,
                                          .costs = c.costs})
                                 .plan;
    EXPECT_EQ(plan.layer(0).k_min, c.k_min);
    return;
  }
  FAIL() << "no cap made the calibration spare more than the config's k_min";
}

}  // namespace
}  // namespace thermoe
