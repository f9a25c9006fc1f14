// SPDX-License-Identifier: Apache-2.0
#include "control/ttha_adapter.h"

#include <gtest/gtest.h>

#include <cmath>

#include "control/adapter_limits.h"
#include "control/make_controller.h"
#include "core/errors.h"
#include "loop_fixture.h"
#include "serving_loop.h"

namespace thermoe {
namespace {

using testing::kCap;
using testing::LogitSource;
using testing::mean_of;
using testing::Plant;
using testing::run_loop;
using testing::settling_seconds;
using testing::TruthTick;
using testing::violation_seconds;
using testing::with_tenant;

constexpr testing::RoutedModel kModel;

ControllerConfig ttha_config(TthaMode mode, std::uint32_t seed) {
  ControllerConfig config = testing::dual_config({.power = Watts(kCap)}, kModel);
  config.mode = mode;
  config.seed = 5;
  testing::calibrate(config, seed, 6);
  return config;
}

/// One tick's worth of input, by hand.
class AdapterAlone : public ::testing::Test {
 protected:
  explicit AdapterAlone(TthaMode mode = TthaMode::kAdapterOnly)
      : config_(ttha_config(mode, 21)),
        source_(kModel.layers, testing::kTokens, kModel.experts, 21),
        tracker_(config_) {
    sample_ = source_.next();
    utilities_ = std::make_shared<const Utilities>(
        sample_, RouterSpec{.experts = kModel.experts, .k = kModel.k});
    stats_ = plain_loads(*utilities_).back();
    prior_ = {.k = kModel.k, .k_min = 1};
    prior_.unit_price.assign(kModel.layers * kModel.experts, 1.0F);
  }

  AdapterOutput update(TthaAdapter& adapter, double lambda, bool relative = false) {
    const Observation o{.now = Seconds(1.0),
                        .snapshot = snapshot_,
                        .stats = stats_,
                        .sample = sample_,
                        .metrics = metrics_,
                        .costs = config_.costs};
    const LoadCosts costs(config_.costs, testing::kTokens, {});
    return adapter.update_ttha({.observation = o,
                                .utilities = utilities_,
                                .costs = costs,
                                .tracker = tracker_,
                                .prior = prior_,
                                .lambda = lambda,
                                .relative_prices = relative});
  }

  ControllerConfig config_;
  LogitSource source_;
  HardwareTracker tracker_;
  LogitSample sample_;
  std::shared_ptr<const Utilities> utilities_;
  RoutingStats stats_;
  PricingParameters prior_;
  Snapshot snapshot_;
  StepMetrics metrics_{.at = Seconds(1.0),
                       .tick = Seconds(0.1),
                       .step_time = Seconds(0.012),
                       .step_period = Seconds(0.016)};
};

TEST_F(AdapterAlone, StartsAsThePriorPolicy) {
  TthaAdapter adapter(config_);
  const AdapterOutput out = update(adapter, 0.2);
  for (const float b : out.bias) EXPECT_EQ(b, 0.0F);
  for (const float p : out.log_price) EXPECT_EQ(p, 0.0F);
}

TEST_F(AdapterAlone, TermsSumToTheTotalAndHaveTheExactValues) {
  TthaAdapter adapter(config_);
  const auto& l = update(adapter, 0.2).losses;
  EXPECT_NEAR(l.total, l.power + l.temperature + l.latency + l.throughput + l.quality, 1e-5);
  const Demand exact = LoadCosts(config_.costs, testing::kTokens, {})
                           .demand(PricedSample(utilities_, prior_).loads(0.2));
  EXPECT_NEAR(l.quality, -std::log(exact.kept_mass), 1e-5);
  const double excess = std::max(0.0, tracker_.forecast(exact.cost).power.value / kCap - 1.0);
  EXPECT_NEAR(l.power, config_.adapter.weight_power * excess * excess, 1e-4);
}

TEST_F(AdapterAlone, LowersItsLossOnAStationaryProblemAndItsParametersMove) {
  config_.targets.power = Watts(250.0);  // far below what lambda = 0.04 reaches
  TthaAdapter adapter(config_);
  const double first = update(adapter, 0.04).losses.total;
  AdapterOutput out;
  for (int i = 0; i < 100; ++i) out = update(adapter, 0.04);
  EXPECT_LT(out.losses.total, 0.5 * first);
  EXPECT_GT(out.losses.parameter_shift, 0.1);
  for (const float p : out.log_price) EXPECT_GT(p, 0.0F);  // it has learned to ask a higher price
}

TEST_F(AdapterAlone, StaysWithinItsClamps) {
  config_.adapter.learning_rate = 0.5;  // violent on purpose
  config_.targets.power = Watts(200.0);
  TthaAdapter adapter(config_);
  AdapterOutput out;
  for (int i = 0; i < 30; ++i) out = update(adapter, 0.1);
  for (const float b : out.bias) EXPECT_LE(std::abs(b), config_.guard.bias_clamp * 1.0001);
  for (const float p : out.log_price)
    EXPECT_LE(std::abs(p), config_.adapter.log_price_clamp * 1.0001);
}

TEST_F(AdapterAlone, TrainsOnTheBiasesThatArePublished) {
  config_.adapter.learning_rate = 0.5;
  prior_.bias.assign(prior_.unit_price.size(), 0.0F);
  for (std::size_t e = 0; e < prior_.bias.size(); e += 2) {
    prior_.bias[e] = static_cast<float>(config_.guard.bias_clamp);
  }
  TthaAdapter adapter(config_);
  for (int i = 0; i < 15; ++i) {
    const AdapterOutput out = update(adapter, 0.1);
    for (std::size_t e = 0; e < out.bias.size(); ++e) {
      const float sum = prior_.bias[e] + out.bias[e];
      EXPECT_LE(std::abs(sum), config_.guard.bias_clamp * 1.0001);
    }
    const Demand exact = LoadCosts(config_.costs, testing::kTokens, {})
                             .demand(PricedSample(utilities_, adapted(prior_, out)).loads(0.1));
    EXPECT_NEAR(out.losses.quality, -std::log(exact.kept_mass), 1e-5) << "update " << i;
  }
}

TEST_F(AdapterAlone, ShiftsPriceOnlyBetweenLayersWhereADualSetsTheLevel) {
  TthaAdapter adapter(config_);
  AdapterOutput out;
  for (int i = 0; i < 20; ++i) out = update(adapter, 0.1, true);
  double sum = 0.0;
  for (const float p : out.log_price) sum += p;
  EXPECT_NEAR(sum, 0.0, 1e-5);
}

TEST_F(AdapterAlone, IsDeterministicInItsSeed) {
  TthaAdapter a(config_), b(config_);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(update(a, 0.1).bias, update(b, 0.1).bias);
  config_.seed = 99;
  TthaAdapter c(config_);
  AdapterOutput from_c, from_a;
  for (int i = 0; i < 5; ++i) from_c = update(c, 0.1);
  from_a = update(a, 0.1);
  EXPECT_NE(from_a.bias, from_c.bias);
}

TEST_F(AdapterAlone, ARestartGoesBackToThePrior) {
  TthaAdapter adapter(config_);
  for (int i = 0; i < 5; ++i) update(adapter, 0.1);
  adapter.restart();
  for (const float b : update(adapter, 0.1).bias) EXPECT_EQ(b, 0.0F);
}

TEST(TthaLoop, TheAdapterDoesNotSpoilTheDualsHold) {
  const ControllerConfig config = ttha_config(TthaMode::kBoth, 22);
  const auto controller = make_controller(config);
  const auto log = run_loop(*controller, config, with_tenant(8.0, 16.0), 24.0, 22);
  EXPECT_LE(violation_seconds(log, kCap), 2.4);
  EXPECT_LE(settling_seconds(log, kCap, 8.0), 4.0);
  EXPECT_NEAR(mean_of(log, &TruthTick::power, 2.0, 24.0), 0.99 * kCap, 0.02 * kCap);
  EXPECT_TRUE(log.back().state.losses.has_value());
  EXPECT_GT(log.back().state.losses->parameter_shift, 0.0);

  ControllerConfig alone = config;
  alone.mode = TthaMode::kDualOnly;
  const auto dual = run_loop(*make_controller(alone), alone, with_tenant(8.0, 16.0), 24.0, 22);
  EXPECT_GT(mean_of(log, &TruthTick::kept_mass, 2.0, 24.0),
            mean_of(dual, &TruthTick::kept_mass, 2.0, 24.0) - 0.005);
}

TEST(TthaLoop, AdapterOnlyLowersItsOwnLossOverARun) {
  ControllerConfig config = ttha_config(TthaMode::kAdapterOnly, 23);
  Plant plant;
  plant.idle = Watts(190.0);  // the calibrated lambda leaves 60 W too much
  const auto log = run_loop(*make_controller(config), config, plant, 20.0, 23);
  const auto mean_loss = [&](double from, double to) {
    double sum = 0.0;
    int n = 0;
    for (const TruthTick& t : log) {
      if (t.time > from && t.time <= to && t.state.losses) sum += t.state.losses->total, ++n;
    }
    return sum / n;
  };
  EXPECT_LT(mean_loss(10.0, 20.0), 0.5 * mean_loss(0.1, 2.0));
  EXPECT_GT(log.back().state.losses->parameter_shift, 0.1);
}

TEST(MakeController, MakesEachStrategy) {
  const auto last = [](Strategy strategy) {
    ControllerConfig config = ttha_config(TthaMode::kBoth, 24);
    config.strategy = strategy;
    return run_loop(*make_controller(config), config, {}, 1.0, 24).back();
  };
  const TruthTick baseline = last(Strategy::kBaseline);
  EXPECT_NEAR(baseline.kept_mass, 1.0, 1e-5);
  EXPECT_EQ(baseline.state.lambda, 0.0);
  const TruthTick fixed = last(Strategy::kStaticOptimal);
  EXPECT_EQ(fixed.state.lambda, calibrate(ttha_config(TthaMode::kBoth, 24)).lambda);
  EXPECT_LT(fixed.kept_mass, 0.999);
  const TruthTick ttha = last(Strategy::kKernelAwareTtha);
  EXPECT_GT(ttha.state.lambda, 0.0);
  EXPECT_NE(ttha.state.lambda, fixed.state.lambda);
  EXPECT_TRUE(ttha.state.losses.has_value());
  for (const Strategy strategy : {Strategy::kReducedK, Strategy::kOpportunistic}) {
    const TruthTick rival = last(strategy);
    EXPECT_EQ(rival.state.lambda, 0.0);
    EXPECT_LT(rival.kept_mass, ttha.kept_mass) << to_string(strategy);
  }
}

TEST(MakeController, AnAdapterFollowsBatchesThatComeAndGo) {
  ControllerConfig config = testing::serving_config(
      Strategy::kKernelAwareTtha, {.power = Watts(kCap), .between_tokens = Seconds(0.024)});
  config.mode = TthaMode::kBoth;
  testing::ServingPlant plant;
  plant.random = true;
  const auto controller = make_controller(config);
  const auto log = testing::ServingLoop(*controller, config, plant, 9).run(8.0);
  double power = 0.0;
  for (const testing::ServedTick& t : log) {
    ASSERT_TRUE(t.state.fallback.empty()) << "at " << t.time << " s: " << t.state.fallback;
    if (t.time > 4.0) power += t.power / 40.0;
  }
  EXPECT_NEAR(power, kCap, 0.06 * kCap);
  EXPECT_TRUE(log.back().state.losses.has_value());
  EXPECT_GT(log.back().state.losses->parameter_shift, 0.0);
}

TEST(MakeController, RefusesAnImpossibleConfigByName) {
  ControllerConfig config = ttha_config(TthaMode::kBoth, 24);
  config.router.k = 200;
  try {
    make_controller(config);
    FAIL() << "k = 200 of 128 experts was accepted";
  } catch (const UsageError& e) {
    EXPECT_NE(std::string(e.what()).find("router.k: 200"), std::string::npos) << e.what();
  }
  config = ttha_config(TthaMode::kAdapterOnly, 24);
  config.calibration.clear();
  EXPECT_THROW(make_controller(config), UsageError);
  config = ttha_config(TthaMode::kBoth, 24);
  config.targets.power = Watts(std::nan(""));
  EXPECT_THROW(make_controller(config), UsageError);
}

}  // namespace
}  // namespace thermoe
