// SPDX-License-Identifier: Apache-2.0
#include "run/tick_metrics.h"

#include <gmock/gmock.h>

#include "experiment_fixture.h"
#include "metrics/exposition.h"

namespace thermoe {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

class TickMetricsTest : public ::testing::Test {
 protected:
  /// A tick of 0.1 s in which three steps of two layers ran.
  MetricsRow row() const {
    return {.strategy = "STATIC_OPTIMAL",
            .simulated = false,
            .at = Seconds(12.5),
            .targets = targets_,
            .truth = {.energy = Joules(35.0)},
            .sensed = &sensed_,
            .step = {.tick = Seconds(0.1),
                     .step_time = Seconds(0.01),
                     .step_period = Seconds(0.016),
                     .steps = 3.0,
                     .tokens = 48.0},
            .stats = stats_,
            .control = {.lambda = 0.125}};
  }
  std::string page() const { return exposition(board_.collect(), ExpositionFormat::kText); }

  VirtualClock clock_{};
  MetricsBoard board_{{.version = "0", .hostname = "h"}, clock_};
  TickMetrics metrics_{board_, "night"};
  Targets targets_{.power = Watts(350.0)};
  GpuReading sensed_{.uuid = "GPU-1",
                     .index = 1,
                     .power_average = {.value = Watts(340.0), .read_at = Seconds(12.4)},
                     .energy = {.value = Joules(1e9), .read_at = Seconds(12.4)}};
  RoutingStats stats_{
      .layers = 2, .experts = 3, .tokens = 2, .counts = {1, 1, 0, 2, 0, 0}, .kept_mass = 0.75};
};

TEST_F(TickMetricsTest, WhereNoStepEndedThereIsNoStepTime) {
  MetricsRow idle = row();
  idle.step.step_time = Seconds(0);
  metrics_.add(idle);
  EXPECT_THAT(page(), testing::Not(HasSubstr("thermoe_step_time_seconds")));
}

TEST_F(TickMetricsTest, ATickIsPublishedAsItWasLogged) {
  metrics_.add(row());
  const std::string who = "{experiment=\"night\",strategy=\"STATIC_OPTIMAL\"";
  for (const std::string& line :
       {"target" + who + ",kind=\"power\"} 350", "activation_price" + who + "} 0.125",
        "active_experts" + who + ",layer=\"0\"} 2", "active_experts" + who + ",layer=\"1\"} 1",
        "kept_mass_ratio" + who + "} 0.75", "step_time_seconds" + who + "} 0.01",
        "step_period_seconds" + who + "} 0.016", "run_time_seconds" + who + "} 12.5",
        "fallback_active" + who + "} 0", "target_violated" + who + "} 0",
        "plan_at_floor" + who + "} 0", std::string("tokens_total{experiment=\"night\"} 48"),
        std::string("gpu_power_watts{gpu=\"1\",UUID=\"GPU-1\",Hostname=\"h\"} 340")}) {
    EXPECT_THAT(page(), HasSubstr("\nthermoe_" + line + "\n"));
  }
  EXPECT_THAT(page(), Not(HasSubstr("simulated=")));
  EXPECT_THAT(page(), Not(HasSubstr("requests"))) << "none arrive";
}

TEST_F(TickMetricsTest, CountersAddUpOverTurnsAndEnergyIsTheMachinesTruth) {
  MetricsRow tick = row();
  metrics_.add(tick);
  tick.strategy = "BASELINE";
  tick.violation = true;
  tick.control.fallback = "the calibrated static plan: the power reading is 3 s old";
  metrics_.add(tick);
  tick.truth.energy.reset();  // a tick whose joules nobody knows adds none
  metrics_.add(tick);
  EXPECT_THAT(page(), HasSubstr("thermoe_steps_total{experiment=\"night\"} 9\n"));
  EXPECT_THAT(page(), HasSubstr("thermoe_tokens_total{experiment=\"night\"} 144\n"));
  EXPECT_THAT(page(), HasSubstr("thermoe_violation_seconds_total{experiment=\"night\"} 0.2\n"));
  EXPECT_THAT(page(), ContainsRegex("thermoe_gpu_energy_joules_total\\{[^}]*\\} 70\n"));
  EXPECT_THAT(page(), ContainsRegex("thermoe_fallback_active\\{[^}]*BASELINE\"\\} 1\n"));
  EXPECT_THAT(page(), Not(HasSubstr("STATIC_OPTIMAL")));
}

TEST_F(TickMetricsTest, WhatRequestsWaitForAddsUpOverTicks) {
  MetricsRow tick = row();
  tick.step.serving = ServingTick{.batch = 8.0,
                                  .running = 9,
                                  .waiting = 2,
                                  .finished = 1,
                                  .to_first_token = {Seconds(0.2), Seconds(0.02)},
                                  .between_tokens = {{.gap = Seconds(0.016), .tokens = 40.0}}};
  metrics_.add(tick);
  tick.step.serving = ServingTick{
      .running = 4, .finished = 5, .between_tokens = {{.gap = Seconds(0.03), .tokens = 10.0}}};
  metrics_.add(tick);
  const std::string who = "{experiment=\"night\"";
  for (const std::string& line : {"requests_running" + who + ",strategy=\"STATIC_OPTIMAL\"} 4",
                                  "requests_finished_total" + who + "} 6",
                                  "time_to_first_token_seconds_bucket" + who + ",le=\"0.025\"} 1",
                                  "time_to_first_token_seconds_count" + who + "} 2",
                                  "inter_token_latency_seconds_bucket" + who + ",le=\"0.02\"} 40",
                                  "inter_token_latency_seconds_count" + who + "} 50",
                                  "inter_token_latency_seconds_sum" + who + "} 0.94"}) {
    EXPECT_THAT(page(), HasSubstr("\nthermoe_" + line + "\n"));
  }
}

TEST_F(TickMetricsTest, WithoutSensorsThereAreTheJoulesOfTheGpuThatWasSeenAlone) {
  MetricsRow tick = row();
  metrics_.add(tick);
  tick.sensed = nullptr;
  metrics_.add(tick);
  EXPECT_THAT(page(), HasSubstr("energy_joules_total{gpu=\"1\",UUID=\"GPU-1\",Hostname=\"h\"} 70"));
  EXPECT_THAT(page(), Not(HasSubstr("power_watts")));
}

TEST_F(TickMetricsTest, WhereNoTickKnowsItsEnergyThereIsNoCounterOfIt) {
  MetricsRow tick = row();
  tick.truth.energy.reset();
  metrics_.add(tick);
  EXPECT_THAT(page(), Not(HasSubstr("energy_joules")));
}

TEST_F(RunExperiment, EachTickThatIsLoggedIsSeenByWhoeverWatches) {
  double tokens = 0.0;
  std::vector<double> prices;
  on_tick_ = [&](const MetricsRow& row) {
    tokens += row.step.tokens;
    prices.push_back(row.control.lambda);
  };
  run(experiment(
      R"({"duration_s": 3, "disturbances": null, "strategies": ["KERNEL_AWARE_TTHA"]})"));
  const std::vector<double> logged = column("KERNEL_AWARE_TTHA", Metric::kTokens);
  double sum = 0.0;
  for (const double of_tick : logged) sum += of_tick;
  EXPECT_NEAR(tokens, sum, 1e-3 * sum);
  ASSERT_EQ(prices.size(), logged.size());
  EXPECT_NEAR(prices.back(), column("KERNEL_AWARE_TTHA", Metric::kLambda).back(), 1e-6);
}

}  // namespace
}  // namespace thermoe
