// SPDX-License-Identifier: Apache-2.0
// Controllers on the simulated engine: requests by Poisson's law, steps one by one, vLLM's costs on
// an H100, and a plant that is 10 % dearer than its model.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "control/controller_without_adapter.h"
#include "cost/whole_step.h"
#include "machine/simulated/serving_machine.h"
#include "synthetic_router.h"
#include "telemetry/gpu_system_monitor.h"

namespace thermoe {
namespace {

constexpr Seconds kTick{0.1};
constexpr int kLayers = 2;
constexpr double kAnswer = 256.0;

const KernelCostModel& costs() {
  static const auto model =
      KernelCostModel::load(THERMOE_SOURCE_DIR "/data/h100/vllm_cost_model.json");
  return model;
}
const ExpertShape& shape() { return *costs().find_shape("Qwen3-30B-A3B"); }
ServingEngine engine() {
  return {.batch_limit = 64, .graph_sizes = {1, 2, 4, 8, 16, 24, 32, 40, 48, 56, 64}};
}

ControllerConfig config_of(Strategy strategy, const Targets& targets) {
  ControllerConfig config{.strategy = strategy,
                          .mode = TthaMode::kDualOnly,
                          .targets = targets,
                          .layers = kLayers,
                          .router = {.experts = 128, .k = 8},
                          .engine = engine(),
                          .thermal = {Celsius(42.0), KelvinPerWatt(0.047), Seconds(8.0)}};
  config.batch_costs = batch_costs(costs(), engine(), {"bf16"}, {.shape = shape()},
                                   static_cast<double>(shape().layers) / kLayers);
  config.costs = config.batch_costs->at(16);
  return config;
}

struct Served {
  Watts power{};
  double gap = 0.0;  ///< mean time between tokens, ms
  double period = 0.0, batch = 0.0, lambda = 0.0, tokens_per_s = 0.0;
  double longest = 0.0;  ///< period, ms, from the start
  int fallbacks = 0;     ///< ticks
  ControllerState state{};
};

class ServingMachineLoop : public ::testing::Test {
 protected:
  /// Means from 30 s on.
  static Served serve(const ControllerConfig& config, double tokens_per_s = 825.0,
                      double seconds = 90.0) {
    const auto controller = controller_without_adapter(config);
    testing::LogitSource source(kLayers, 16, 128, 3);
    const testing::ReferenceRouter router(config.router);
    const RoutingPlan baseline(kLayers, 128, 8);
    Decision decision{.plan = baseline};
    LogitSample sample = source.next();
    RoutingStats stats = router.route(sample, baseline);
    std::vector<RoutingStats> ran;
    LogitSample prompts;
    RoutingStats prompt_stats;

    const KernelCostModel dearer = costs().with_energy_scale(1.1);
    ServingMachineOptions options{
        .gpu = {.idle_active = costs().active_idle()},
        .charge = {.costs = dearer,
                   .shape = shape(),
                   .dtypes = {"bf16"},
                   .layer_repeat = static_cast<double>(shape().layers) / kLayers},
        .engine = engine(),
        .arrivals = {.rate_per_s = tokens_per_s / kAnswer, .tokens_out = {.mean = kAnswer}},
        .unpriced = [&](std::optional<int> rows) -> StepLoads {
          prompts = source.next(rows.value());
          prompt_stats = router.route(prompts, baseline);
          return {.plan = baseline, .stats = prompt_stats, .sample = prompts};
        }};
    for (int n = 1; n <= engine().batch_limit; ++n) {
      options.other.push_back(
          whole_step(dearer, {.shape = shape(), .batch = 1.0 * engine().rows(n)}).lookup());
    }
    ServingMachine machine(std::move(options));
    GpuSystemMonitor monitor(machine.open_sensors(), machine.clock());
    Served mean;
    double gaps = 0.0, tokens = 0.0, ticks = 0.0;
    for (int i = 1; i <= static_cast<int>(std::lround(seconds / kTick.value)); ++i) {
      ran.clear();
      const TickReport report = machine.run_tick(
          i * kTick, decision.step_period, [&](std::optional<int> rows) -> StepLoads {
            sample = source.next(rows.value());
            stats = router.route(sample, decision.plan);
            ran.push_back(stats);
            return {.plan = decision.plan, .stats = stats, .sample = sample};
          });
      monitor.poll();
      const Snapshot snapshot = monitor.latest();
      const StepMetrics metrics{.at = machine.clock().now(),
                                .tick = kTick,
                                .step_time = report.step_time,
                                .step_period = report.step_period,
                                .steps = report.steps,
                                .tokens = report.serving->tokens,
                                .serving = report.serving};
      Decision next = controller->decide({.now = machine.clock().now(),
                                          .snapshot = snapshot,
                                          .stats = stats,
                                          .sample = sample,
                                          .metrics = metrics,
                                          .costs = config.costs,
                                          .ran = ran,
                                          .batch_costs = &*config.batch_costs});
      if (!controller->state().fallback.empty()) ++mean.fallbacks;
      if (i * kTick.value > 30.0) {
        ticks += 1.0;
        mean.power += *report.truth.mean_power;
        mean.period += 1e3 * decision.step_period.value;
        mean.batch += report.serving->batch;
        mean.lambda += controller->state().lambda;
        tokens += report.serving->tokens;
        for (const TokenGap& gap : report.serving->between_tokens)
          gaps += gap.tokens * gap.gap.value, mean.gap += gap.tokens;
      }
      decision = std::move(next);
      mean.longest = std::max(mean.longest, 1e3 * decision.step_period.value);
    }
    mean.gap = 1e3 * gaps / mean.gap;
    mean.power = mean.power / ticks;
    mean.period /= ticks, mean.batch /= ticks, mean.lambda /= ticks;
    mean.tokens_per_s = tokens / (ticks * kTick.value);
    mean.state = controller->state();
    return mean;
  }
};

TEST_F(ServingMachineLoop, ACapIsHeldAtBaselinesOwnPace) {
  const Served plain = serve(config_of(Strategy::kBaseline, {}));
  const Served priced = serve(config_of(Strategy::kKernelAwareTtha, {.power = Watts(350.0)}));
  EXPECT_GT(plain.power, Watts(480.0));
  EXPECT_NEAR(priced.power.value, 348.0, 7.0);
  EXPECT_NEAR(priced.gap, plain.gap, 0.06 * plain.gap);
  EXPECT_NEAR(priced.tokens_per_s, plain.tokens_per_s, 0.02 * plain.tokens_per_s);
  EXPECT_TRUE(priced.state.fallback.empty()) << priced.state.fallback;
}

TEST_F(ServingMachineLoop, TimeBetweenTokensIsSpentFirstAndThenThePrice) {
  const Targets slow{.between_tokens = Seconds(0.024)};
  const Served paced = serve(config_of(Strategy::kKernelAwareTtha, slow));
  EXPECT_LE(paced.gap, 24.0);
  EXPECT_GE(paced.gap, 23.0);
  EXPECT_LT(paced.power, Watts(450.0));
  EXPECT_EQ(paced.lambda, 0.0);
  const Served both = serve(config_of(Strategy::kKernelAwareTtha,
                                      {.power = Watts(350.0), .between_tokens = Seconds(0.024)}));
  EXPECT_NEAR(both.power.value, 348.0, 7.0);
  EXPECT_LE(both.gap, 24.0);
  EXPECT_GT(both.lambda, 0.0);
}

TEST_F(ServingMachineLoop, PacingAloneHoldsACapThatIsWithinItsReach) {
  const Served paced = serve(config_of(Strategy::kPacingAlone, {.power = Watts(450.0)}));
  EXPECT_LE(paced.power, Watts(450.0));
  EXPECT_GE(paced.power, Watts(425.0));
  EXPECT_EQ(paced.lambda, 0.0);
}

TEST_F(ServingMachineLoop, ALatencyThatBaselineBreaksIsMetByThePrice) {
  const Served quick =
      serve(config_of(Strategy::kKernelAwareTtha, {.between_tokens = Seconds(0.012)}));
  EXPECT_NEAR(quick.gap, 11.9, 0.3);
  EXPECT_GT(quick.lambda, 0.0);
}

TEST_F(ServingMachineLoop, AnEngineThatOftenHasNothingToDoIsNoSensorThatStoodStill) {
  const Served served =
      serve(config_of(Strategy::kKernelAwareTtha, {.power = Watts(350.0)}), 100.0);
  EXPECT_EQ(served.fallbacks, 0);
  EXPECT_LE(served.power, Watts(350.0));
}

// 0.9 x 64 sequences at 825 tokens/s are 70 ms; what is generated meanwhile falls with the period.
TEST_F(ServingMachineLoop, BeforeRequestsHaveFinishedThePeriodDoesNotRunAway) {
  for (const Strategy strategy : {Strategy::kKernelAwareTtha, Strategy::kPacingAlone}) {
    const Served served = serve(
        config_of(strategy, {.power = Watts(230.0), .between_tokens = Seconds(1.0)}), 825.0, 45.0);
    EXPECT_LT(served.longest, 120.0);
    EXPECT_GT(served.longest, 40.0) << "it has grown since";
  }
}

}  // namespace
}  // namespace thermoe
