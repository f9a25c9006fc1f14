// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <sstream>

#include "control/expert_count.h"
#include "core/errors.h"
#include "loop_fixture.h"

namespace thermoe {
namespace {

using testing::run_loop;
using testing::Sabotage;
using testing::TruthTick;

constexpr int kLayers = 1, kExperts = 64;

ControllerConfig guard_config(const Targets& targets = {.power = Watts(250.0)}) {
  return testing::dual_config(targets, {.layers = kLayers, .experts = kExperts, .k = 8});
}

std::vector<TruthTick> run_with(const ControllerConfig& config, double seconds,
                                const Sabotage& sabotage,
                                std::unique_ptr<PlanAdapter> adapter = nullptr) {
  return testing::run_ttha(config, {}, seconds, 31, sabotage, std::move(adapter));
}

const TruthTick& at(const std::vector<TruthTick>& log, double time) {
  return log.at(static_cast<std::size_t>(std::lround(time * 10.0)) - 1);
}

/// Holds the sensor at what it showed at `from`, as a frozen driver does: polled, never changing.
Sabotage freeze(double from, double to) {
  return [=, frozen = Reading<Watts>{}](double time, Snapshot& s, LogitSample&) mutable {
    auto& power = s.gpus[0].power_instant;
    if (time < from || !frozen.value) {
      if (power.value) frozen = power;
      return;
    }
    if (time >= to) return;
    power = frozen;
    power.read_at = Seconds(time);
  };
}

void expect_baseline(const TruthTick& tick) {
  EXPECT_EQ(tick.state.plan, PlanKind::kBaseline) << "at " << tick.time << " s";
  EXPECT_EQ(tick.state.fallback.rfind("BASELINE: ", 0), 0U) << tick.state.fallback;
  EXPECT_EQ(tick.state.lambda, 0.0);
  EXPECT_EQ(tick.state.bias_norm, 0.0);
}

TEST(GuardRails, APowerSensorFrozenFromTheStartIsSeen) {
  const auto log = run_with(guard_config(), 6.0, freeze(0.0, 1e9));
  EXPECT_TRUE(at(log, 1.0).state.fallback.empty());
  for (const double time : {2.5, 4.0, 6.0}) expect_baseline(at(log, time));
  EXPECT_NE(log.back().state.fallback.find("frozen"), std::string::npos)
      << log.back().state.fallback;
  EXPECT_NEAR(log.back().kept_mass, 1.0, 1e-5);
}

TEST(GuardRails, AFreezeMidRunFallsBackAndControlReturnsWithHysteresis) {
  const auto log = run_with(guard_config(), 16.0, freeze(5.0, 9.0));
  EXPECT_TRUE(at(log, 6.0).state.fallback.empty());
  expect_baseline(at(log, 7.0));
  expect_baseline(at(log, 9.5));
  expect_baseline(at(log, 10.5));  // healthy again, but not yet for two seconds
  EXPECT_TRUE(at(log, 11.5).state.fallback.empty()) << at(log, 11.5).state.fallback;
  EXPECT_NEAR(testing::mean_of(log, &TruthTick::power, 13.0, 16.0), 250.0, 8.0);
}

TEST(GuardRails, ASensorThatDropsOutFallsBackAfterItsAge) {
  const auto drop = [](double time, Snapshot& s, LogitSample&) {
    if (time > 4.0 && time < 7.0) s.gpus[0].power_instant.value.reset();
  };
  const auto log = run_with(guard_config(), 10.0, drop);
  EXPECT_TRUE(at(log, 5.0).state.fallback.empty());
  expect_baseline(at(log, 6.0));
  EXPECT_NE(at(log, 6.0).state.fallback.find("absent"), std::string::npos);
  EXPECT_TRUE(at(log, 9.5).state.fallback.empty());
}

TEST(GuardRails, AReadingThatGrowsOldFallsBack) {
  const auto age = [](double time, Snapshot& s, LogitSample&) {
    if (time > 4.0) s.gpus[0].power_instant.read_at = Seconds(4.0);
  };
  const auto log = run_with(guard_config(), 7.0, age);
  EXPECT_TRUE(at(log, 5.0).state.fallback.empty());
  expect_baseline(at(log, 6.5));
  EXPECT_NE(at(log, 6.5).state.fallback.find("old"), std::string::npos);
}

TEST(GuardRails, NoGpuAtAllFallsBack) {
  const auto log =
      run_with(guard_config(), 3.0, [](double, Snapshot& s, LogitSample&) { s.gpus.clear(); });
  expect_baseline(at(log, 2.5));
}

TEST(GuardRails, ANanPowerFallsBackAtOnceAndRecovers) {
  const auto nan = [](double time, Snapshot& s, LogitSample&) {
    if (std::abs(time - 4.0) < 0.01) s.gpus[0].power_instant.value = Watts(std::nan(""));
  };
  const auto log = run_with(guard_config(), 8.0, nan);
  expect_baseline(at(log, 4.0));
  EXPECT_NE(at(log, 4.0).state.fallback.find("NaN"), std::string::npos);
  EXPECT_TRUE(at(log, 6.3).state.fallback.empty());
  EXPECT_TRUE(std::isfinite(log.back().state.lambda));
  EXPECT_GT(log.back().state.lambda, 0.0);
}

TEST(GuardRails, NanGateLogitsKeepTheLastSoundPlan) {
  const auto nan = [](double time, Snapshot&, LogitSample& sample) {
    if (time > 3.95 && time < 4.05) sample.logits[17] = std::numeric_limits<float>::quiet_NaN();
  };
  const auto log = run_with(guard_config(), 8.0, nan);
  EXPECT_EQ(at(log, 4.0).state.plan, PlanKind::kLastSound);
  EXPECT_EQ(at(log, 4.0).state.lambda, at(log, 3.9).state.lambda);
  EXPECT_EQ(at(log, 5.9).state.lambda, at(log, 3.9).state.lambda) << "until it has recovered";
  EXPECT_NEAR(testing::mean_of(log, &TruthTick::power, 4.0, 6.0), 250.0, 12.0);
  EXPECT_NE(at(log, 4.0).state.fallback.find("the last sound plan: the sampled gate logits"),
            std::string::npos)
      << at(log, 4.0).state.fallback;
  EXPECT_TRUE(at(log, 7.0).state.fallback.empty());
}

TEST(GuardRails, AMissingTemperatureMattersOnlyToATemperatureTarget) {
  const auto blind = [](double, Snapshot& s, LogitSample&) { s.gpus[0].temperature.value.reset(); };
  EXPECT_TRUE(run_with(guard_config(), 4.0, blind).back().state.fallback.empty());
  const auto log = run_with(guard_config({.temperature = Celsius(55.0)}), 4.0, blind);
  EXPECT_NE(log.back().state.fallback.find("temperature"), std::string::npos);
}

TEST(GuardRails, ATemperatureThatGrowsOldMattersToATemperatureTarget) {
  const auto age = [](double time, Snapshot& s, LogitSample&) {
    if (time > 2.0) s.gpus[0].temperature.read_at = Seconds(2.0);
  };
  EXPECT_TRUE(run_with(guard_config(), 5.0, age).back().state.fallback.empty());
  const auto log = run_with(guard_config({.temperature = Celsius(55.0)}), 5.0, age);
  EXPECT_TRUE(at(log, 3.0).state.fallback.empty()) << at(log, 3.0).state.fallback;
  EXPECT_NE(log.back().state.fallback.find("the temperature reading is"), std::string::npos);
  EXPECT_NE(log.back().state.fallback.find("old"), std::string::npos) << log.back().state.fallback;
}

TEST(GuardRails, OneBadTickAtTheStartIsNoBlownQualityBudget) {
  const GuardRails guard{.max_quality_loss = 0.7, .quality_window = Seconds(5.0)};
  HealthMonitor health(guard, {});
  EXPECT_EQ(health.quality_fault(5.0, Seconds(0.1)), "");
  EXPECT_EQ(health.quality_fault(0.1, Seconds(0.1)), "");
  std::string fault;
  for (int i = 0; i < 20; ++i) fault = health.quality_fault(5.0, Seconds(0.1));
  EXPECT_NE(fault.find("max_quality_loss of 0.70"), std::string::npos) << fault;
}

TEST(GuardRails, TheQualityBudgetIsTheMeanOfAWindowAndForgetsWhatWasBefore) {
  HealthMonitor health({.max_quality_loss = 0.7, .quality_window = Seconds(10.0)}, {});
  EXPECT_EQ(health.quality_fault(6.9, Seconds(1.0)), "");
  EXPECT_NE(health.quality_fault(0.2, Seconds(1.0)), "") << "7.1 nats in 10 s";
  for (int i = 0; i < 8; ++i) EXPECT_NE(health.quality_fault(0.0, Seconds(1.0)), "") << i;
  EXPECT_EQ(health.quality_fault(0.0, Seconds(1.0)), "");
  EXPECT_EQ(GuardRails{}.quality_window, Seconds(60.0));
}

TEST(GuardRails, TheQualityBudgetIsOfTokensNotOfTheirMean) {
  // Half of the tokens keep everything, half a hundredth: -ln of the mean would be 0.68 only.
  RoutingStats stats{.layers = kLayers, .experts = kExperts, .tokens = 16};
  stats.counts.assign(kLayers * kExperts, 1);
  KeptMass kept;
  for (int t = 0; t < 16; ++t) kept.add(t % 2 == 0 ? 1.0 : 0.01);
  stats.kept_mass = kept.mean();
  stats.quality_loss = kept.quality_loss();
  ControllerConfig config = guard_config();
  config.guard.quality_window = Seconds(1.0);
  KernelAwareTtha controller(config, nullptr);
  const LogitSample sample = testing::LogitSource(kLayers, 16, kExperts, 3).next();
  const Snapshot snapshot{.gpus = std::vector<GpuReading>(1)};
  const StepMetrics metrics{.tick = Seconds(0.1),
                            .step_time = Seconds(0.01),
                            .step_period = Seconds(0.016),
                            .steps = 6.0};
  for (int i = 1; i <= 10; ++i) {
    controller.decide({.now = i * Seconds(0.1),
                       .snapshot = snapshot,
                       .stats = stats,
                       .sample = sample,
                       .metrics = metrics,
                       .costs = config.costs});
  }
  EXPECT_NE(controller.state().fallback.find("quality loss"), std::string::npos)
      << controller.state().fallback;
}

TEST(GuardRails, AStepTimeTargetNeedsNoSensor) {
  const auto log = run_with(guard_config({.step_time = Seconds(0.006)}), 4.0,
                            [](double, Snapshot& s, LogitSample&) { s.gpus.clear(); });
  EXPECT_TRUE(log.back().state.fallback.empty()) << log.back().state.fallback;
  EXPECT_LE(testing::share_above(log, 1.02 * 0.006, 1.0, 4.0), 0.1);  // of 30 ticks
  EXPECT_GE(testing::mean_of(log, &TruthTick::step_time, 1.0, 4.0), 0.85 * 0.006);
}

TEST(GuardRails, ABlownQualityBudgetFallsBackAndStaysWhileItWouldBlowAgain) {
  ControllerConfig config = guard_config({.power = Watts(150.0)});  // drops nearly everything
  config.guard.max_quality_loss = 0.05;
  config.guard.quality_window = Seconds(1.0);
  const auto log = run_with(config, 10.0, {});
  expect_baseline(log.back());
  EXPECT_NE(log.back().state.fallback.find("max_quality_loss"), std::string::npos);
  int events = 0;
  for (std::size_t i = 1; i < log.size(); ++i) {
    events += log[i - 1].state.fallback.empty() && !log[i].state.fallback.empty();
  }
  EXPECT_EQ(events, 1);
}

ControllerConfig calibrated_config(double cap = 250.0) {
  ControllerConfig config = guard_config({.power = Watts(cap)});
  testing::calibrate(config, 31, 12);
  return config;
}

void expect_static(const TruthTick& tick, const ControllerConfig& config) {
  EXPECT_EQ(tick.state.plan, PlanKind::kStatic) << "at " << tick.time << " s";
  EXPECT_EQ(tick.state.fallback.rfind("the calibrated static plan: the power reading is ", 0), 0U)
      << tick.state.fallback;
  EXPECT_EQ(tick.state.lambda, calibrate(config).lambda);
}

struct SensorLoss {
  const char* name;
  Sabotage sabotage;
};
class SafePlan : public ::testing::TestWithParam<SensorLoss> {};

TEST_P(SafePlan, HoldsTheCapWithoutItsSensor) {
  const ControllerConfig config = calibrated_config();
  const auto log = run_with(config, 20.0, GetParam().sabotage);
  for (const double time : {7.0, 11.0, 14.9}) expect_static(at(log, time), config);
  EXPECT_LE(testing::violation_seconds(log, 250.0), 0.05 * 20.0);
  EXPECT_TRUE(log.back().state.fallback.empty()) << log.back().state.fallback;
  EXPECT_EQ(log.back().state.plan, PlanKind::kStrategy);
}

INSTANTIATE_TEST_SUITE_P(GuardRails, SafePlan,
                         ::testing::Values(SensorLoss{"Frozen", freeze(5.0, 15.0)},
                                           SensorLoss{"Lost",
                                                      [](double time, Snapshot& s, LogitSample&) {
                                                        if (time > 5.0 && time < 15.0)
                                                          s.gpus[0].power_instant.value.reset();
                                                      }},
                                           SensorLoss{"Nan",
                                                      [](double time, Snapshot& s, LogitSample&) {
                                                        auto& power = s.gpus[0].power_instant;
                                                        if (time > 5.0 && time < 15.0)
                                                          power.value = Watts(std::nan(""));
                                                      }}),
                         [](const auto& info) { return info.param.name; });

TEST(GuardRails, ASensorFrozenFromTheStartBreaksNoCap) {
  const ControllerConfig config = calibrated_config();
  const auto log = run_with(config, 30.0, freeze(0.0, 1e9));
  expect_static(at(log, 3.0), config);
  expect_static(log.back(), config);
  EXPECT_LE(testing::violation_seconds(log, 250.0), 0.05 * 30.0);
}

TEST(GuardRails, BaselineCanBeAskedForInstead) {
  ControllerConfig config = calibrated_config();
  config.guard.fallback = SensorFallback::kBaseline;
  const auto log = run_with(config, 4.0, freeze(0.0, 1e9));
  expect_baseline(log.back());
  EXPECT_EQ(log.back().state.fallback.find("calibration"), std::string::npos);
}

TEST(GuardRails, WithoutCalibrationTheStaticPlanIsMissedAndThatIsSaid) {
  const auto log = run_with(guard_config(), 4.0, freeze(0.0, 1e9));
  expect_baseline(log.back());
  EXPECT_NE(log.back().state.fallback.find("a static plan would need calibration samples"),
            std::string::npos)
      << log.back().state.fallback;
}

TEST(GuardRails, ASpentQualityBudgetOutranksALostSensor) {
  ControllerConfig config = calibrated_config(150.0);  // out of reach: the floor
  config.guard.max_quality_loss = 0.3;
  config.guard.quality_window = Seconds(5.0);
  const auto log = run_with(config, 8.0, freeze(0.0, 1e9));
  expect_static(at(log, 2.2), config);
  expect_baseline(log.back());
  EXPECT_NE(log.back().state.fallback.find("max_quality_loss"), std::string::npos)
      << log.back().state.fallback;
}

TEST(GuardRails, TheRivalsHaveTheSameOnes) {
  for (const Strategy strategy : {Strategy::kReducedK, Strategy::kOpportunistic}) {
    ControllerConfig config = guard_config();
    config.strategy = strategy;
    ExpertCountController controller(config);
    const auto log = run_loop(controller, config, {}, 6.0, 31, freeze(0.0, 1e9));
    EXPECT_TRUE(at(log, 1.0).state.fallback.empty()) << at(log, 1.0).state.fallback;
    EXPECT_LT(at(log, 1.0).kept_mass, 0.999);
    expect_baseline(log.back());
  }
}

/// An adapter that misbehaves on command.
class WildAdapter final : public PlanAdapter {
 public:
  WildAdapter(float bias, int* restarts) : bias_(bias), restarts_(restarts) {}
  AdapterOutput update_ttha(const AdapterTick&) override {
    AdapterOutput out{.bias = std::vector<float>(kLayers * kExperts, bias_),
                      .log_price = std::vector<float>(kLayers, 0.0F)};
    for (std::size_t e = 0; e < out.bias.size(); e += 2) out.bias[e] = -bias_;
    return out;
  }
  void restart() override {
    ++*restarts_;
    bias_ = 0.0F;
  }

 private:
  float bias_;
  int* restarts_;
};

TEST(GuardRails, ADivergedAdapterIsRestartedAndControlReturns) {
  int restarts = 0;
  const auto log =
      run_with(guard_config(), 5.0, {}, std::make_unique<WildAdapter>(std::nanf(""), &restarts));
  EXPECT_EQ(restarts, 1);
  // The dual's own plan needs no adapter, and there is one in the first tick already.
  EXPECT_EQ(log.front().state.plan, PlanKind::kLastSound);
  EXPECT_GT(log.front().state.lambda, 0.0);
  EXPECT_NE(log.front().state.fallback.find("adapter diverged"), std::string::npos);
  EXPECT_TRUE(log.back().state.fallback.empty());
}

TEST(GuardRails, BiasesAreClampedWhateverTheAdapterSays) {
  int restarts = 0;
  ControllerConfig config = guard_config();
  config.guard.bias_clamp = 0.02;
  config.mode = TthaMode::kAdapterOnly;  // the dual would not accept such a proposal at all
  testing::calibrate(config, 1, 1);
  const auto log = run_with(config, 1.0, {}, std::make_unique<WildAdapter>(5.0F, &restarts));
  EXPECT_NEAR(log.back().state.bias_norm, 0.02 * std::sqrt(kExperts), 1e-5);
}

TEST(GuardRails, AProposalThatKeepsLessMassIsNotRun) {
  int restarts = 0;
  const auto wild =
      run_with(guard_config(), 3.0, {}, std::make_unique<WildAdapter>(0.03F, &restarts));
  const auto alone = run_with(guard_config(), 3.0, {});
  EXPECT_EQ(wild.back().state.bias_norm, 0.0);
  EXPECT_EQ(wild.back().state.lambda, alone.back().state.lambda);
}

TEST(GuardRails, AnEventKeepsOneReasonFromItsStartToItsEnd) {
  const auto log = run_with(guard_config(), 16.0, freeze(5.0, 9.0));
  std::vector<std::string> reasons;
  for (const auto& tick : log) {
    if (reasons.empty() || reasons.back() != tick.state.fallback) {
      reasons.push_back(tick.state.fallback);
    }
  }
  ASSERT_EQ(reasons.size(), 3U) << "in control, fallen back, in control";
  EXPECT_EQ(reasons[0], "");
  EXPECT_THAT(reasons[1], ::testing::StartsWith("BASELINE: "));
  EXPECT_EQ(reasons[2], "");
}

TEST(GuardRails, StatsOfAnotherModelAreTheCallersError) {
  ControllerConfig config = guard_config();
  KernelAwareTtha controller(config, nullptr);
  config.layers = 2;
  EXPECT_THROW(run_loop(controller, config, {}, 0.2, 1), PreconditionError);
}

TEST(ControllerConfig, NamesOfStrategiesAndModesRoundTrip) {
  for (const Strategy s :
       {Strategy::kBaseline, Strategy::kStaticOptimal, Strategy::kKernelAwareTtha,
        Strategy::kReducedK, Strategy::kOpportunistic}) {
    EXPECT_EQ(strategy_from(to_string(s)), s);
  }
  for (const TthaMode m : {TthaMode::kBoth, TthaMode::kDualOnly, TthaMode::kAdapterOnly}) {
    EXPECT_EQ(ttha_mode_from(to_string(m)), m);
  }
  EXPECT_FALSE(strategy_from("BASELIN").has_value());
}

TEST(ControllerConfig, RefusesWhatCannotWorkAndSaysWhat) {
  const auto message = [](const ControllerConfig& config) -> std::string {
    try {
      check(config);
    } catch (const UsageError& e) {
      return e.what();
    }
    return "accepted";
  };
  EXPECT_EQ(message(guard_config()), "accepted");
  ControllerConfig c = guard_config();
  c.k_min = 9;
  EXPECT_NE(message(c).find("k_min=9"), std::string::npos);
  c = guard_config({.power = Watts(-5.0)});
  EXPECT_NE(message(c).find("targets.power is -5"), std::string::npos);
  c = guard_config();
  c.variant.assign(3, 0);
  EXPECT_NE(message(c).find("variant has 3 values"), std::string::npos);
  c = guard_config();
  c.strategy = Strategy::kStaticOptimal;
  EXPECT_NE(message(c).find("calibration"), std::string::npos);
}

}  // namespace
}  // namespace thermoe
