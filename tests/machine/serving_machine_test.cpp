// SPDX-License-Identifier: Apache-2.0
#include "machine/simulated/serving_machine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/errors.h"
#include "machine/simulated/simulated_machine.h"

namespace thermoe {
namespace {

const ExpertShape kShape{.name = "tiny", .experts = 8, .top_k = 1, .d_model = 8, .d_ff = 8};
constexpr Seconds kTick{0.1};

/// A layer takes 10 ms and 2 J with one active expert, 1 ms and 0.1 J more with each other.
KernelCostModel costs() {
  const auto row = [](double active) {
    return CostRow{.tokens = 1.0,
                   .active_experts = active,
                   .latency = Seconds(9e-3 + 1e-3 * active),
                   .energy = Joules(1.9 + 0.1 * active)};
  };
  return {{.device = "none", .active_idle = Watts(100)},
          {CostTable({.op = "moe_experts", .shape = {8, 1, 8, 8}, .dtype = "bf16"},
                     CostSource::kDerived, "", {row(1), row(8)})}};
}

struct Totals {
  int arrived = 0;
  int finished = 0;
  double tokens = 0.0;
  double steps = 0.0;
  double mixed_steps = 0.0;
  Joules energy{};
  double gaps = 0.0;  // tokens that followed another
  Seconds gap_time{};
  std::vector<Seconds> to_first_token{};
  std::vector<FinishedRequest> requests{};
  double running = 0.0;  // mean, as ticks' ends see it
  TickReport last{};
};

class Serving : public testing::Test {
 protected:
  ServingMachineOptions options(double rate, int tokens_out, int limit = 64) const {
    ServingMachineOptions options{
        .charge = {.costs = costs_, .shape = kShape, .dtypes = {"bf16"}},
        .engine = {.batch_limit = limit},
        .prefill = {.per_token = {}},
        .arrivals = {.rate_per_s = rate,
                     .tokens_in = {.mean = 4},
                     .tokens_out = {.mean = static_cast<double>(tokens_out)}}};
    options.gpu.idle_active = Watts(100);
    return options;
  }
  /// Steps in which all tokens pick one expert.
  NextStep one_expert() {
    return [this](std::optional<int> rows) {
      asked_.push_back(rows.value());
      stats_ = {.layers = 1, .experts = 8, .tokens = *rows};
      stats_.counts.assign(8, 0);
      stats_.counts[0] = *rows;
      return StepLoads{.plan = plan_, .stats = stats_, .sample = sample_};
    };
  }
  Totals run(ServingMachine& machine, Seconds length, Seconds period = {}) {
    Totals totals;
    const auto ticks = static_cast<int>(std::lround(length / kTick));
    for (int i = 1; i <= ticks; ++i) {
      const TickReport report = machine.run_tick(i * kTick, period, one_expert());
      const ServingTick& serving = report.serving.value();
      totals.arrived += serving.arrived, totals.finished += serving.finished;
      totals.tokens += serving.tokens, totals.steps += report.steps;
      totals.mixed_steps += serving.mixed_steps, totals.energy += *report.truth.energy;
      for (const TokenGap& g : serving.between_tokens) {
        totals.gaps += g.tokens, totals.gap_time += g.tokens * g.gap;
      }
      totals.to_first_token.insert(totals.to_first_token.end(), serving.to_first_token.begin(),
                                   serving.to_first_token.end());
      totals.requests.insert(totals.requests.end(), serving.requests.begin(),
                             serving.requests.end());
      totals.running += static_cast<double>(serving.running) / ticks;
      EXPECT_EQ(static_cast<int>(serving.requests.size()), serving.finished);
      EXPECT_LE(serving.running, machine_limit_);
      totals.last = report;
    }
    return totals;
  }
  static Seconds mean(const std::vector<Seconds>& times) {
    Seconds sum{};
    for (const Seconds t : times) sum += t;
    return sum / static_cast<double>(times.size());
  }

  KernelCostModel costs_ = costs();
  RoutingPlan plan_{1, 8, 1};
  RoutingStats stats_{};
  LogitSample sample_{};
  std::vector<int> asked_{};
  int machine_limit_ = 64;
};

TEST_F(Serving, EveryTokenThatWasAskedForIsGeneratedOnceAndNoneBeforeItsRequest) {
  ServingMachineOptions few = options(0, 0, 3);
  machine_limit_ = 3;
  few.arrivals = {.kind = ArrivalSpec::Kind::kRecorded};
  int asked = 0;
  for (int i = 0; i < 40; ++i) {
    few.arrivals.recorded.push_back({Seconds(0.05 * i), 1 + i % 5, 1 + i % 17});
    asked += 1 + i % 17;
  }
  few.prefill.tokens_per_step = 3;
  ServingMachine machine(few);
  const Totals totals = run(machine, Seconds(10.0));
  EXPECT_EQ(totals.arrived, 40);
  EXPECT_EQ(totals.finished, 40);
  EXPECT_EQ(totals.tokens, asked);
  EXPECT_EQ(totals.to_first_token.size(), 40u);
  EXPECT_EQ(totals.gaps, asked - 40);
  for (const Seconds t : totals.to_first_token) EXPECT_GE(t, Seconds(0.01 - 1e-9));  // a step
  EXPECT_EQ(totals.last.serving->running + totals.last.serving->waiting, 0);
}

TEST_F(Serving, AnEngineWithoutRequestsIdlesAndWakesWithTheNext) {
  ServingMachineOptions two = options(0, 0);
  two.arrivals = {.kind = ArrivalSpec::Kind::kRecorded,
                  .recorded = {{Seconds(0.35), 1, 2}, {Seconds(9.0), 1, 1}}};
  ServingMachine machine(two);
  TickReport tick = machine.run_tick(Seconds(0.3), Seconds(0), one_expert());
  EXPECT_EQ(tick.steps, 0.0);
  EXPECT_NEAR(tick.truth.mean_power->value, 100.0, 1e-6);
  EXPECT_TRUE(asked_.empty());
  tick = machine.run_tick(Seconds(0.4), Seconds(0), one_expert());
  EXPECT_NEAR(tick.steps, 2.0, 1e-9);
  EXPECT_NEAR(tick.truth.energy->value, 0.1 * 100.0 + 2 * 2.0, 1e-6);
  EXPECT_NEAR(tick.serving->to_first_token.at(0).value, 0.01, 1e-9);
  EXPECT_EQ(tick.serving->finished, 1);
  tick = machine.run_tick(Seconds(0.5), Seconds(0), one_expert());
  EXPECT_EQ(tick.steps, 0.0);
  EXPECT_EQ(tick.serving->batch, 0.0);
}

TEST_F(Serving, WaitsAsTheoryHasItForOneServerAndAConstantTime) {
  // M/D/1: each request is one step of S, one at a time. Mean time in the system
  // S + rho S / (2 (1 - rho)).
  const double step = 0.01;
  for (const double load : {0.3, 0.8}) {
    ServingMachineOptions one = options(load / step, 1, 1);
    machine_limit_ = 1;
    ServingMachine machine(one);
    const Totals totals = run(machine, Seconds(1500.0));
    const double expected = step + load * step / (2.0 * (1.0 - load));
    EXPECT_NEAR(mean(totals.to_first_token).value / expected, 1.0, 0.04) << load;
  }
}

TEST_F(Serving, HoldsAsManySequencesAsLittlesLawSays) {
  ServingMachine machine(options(4.0, 100));
  const Totals totals = run(machine, Seconds(600.0));
  Seconds within{};  // from arrival to last token
  for (const FinishedRequest& r : totals.requests) {
    within += r.to_first_token + (r.tokens - 1) * r.between_tokens;
  }
  const double rate = totals.arrived / 600.0;
  const double expected = rate * (within / static_cast<double>(totals.requests.size())).value;
  EXPECT_NEAR(totals.running / expected, 1.0, 0.02);
}

TEST_F(Serving, APacedBatchIsTheRateTimesThePeriodOnceTheStepIsShorter) {
  // B = rate * max(p, L), in tokens: 4 requests of 100 tokens a second.
  for (const double period : {0.0, 0.016, 0.024}) {
    ServingMachine machine(options(4.0, 100));
    const Totals totals = run(machine, Seconds(800.0), Seconds(period));
    const double rate = totals.tokens / 800.0;
    const double batch = totals.tokens / totals.steps;
    // Mixed steps do not wait: each arrival begins one early, by half the pause on average.
    const double early = totals.mixed_steps / totals.steps * std::max(0.0, period - 0.01) / 2.0;
    EXPECT_NEAR(batch / (rate * (std::max(period, 0.01) - early)), 1.0, 0.025) << period;
  }
}

TEST_F(Serving, StepsThatReadPromptsDoNotWaitForThePeriodAndOthersDo) {
  ServingMachineOptions two = options(0, 0);
  two.arrivals = {.kind = ArrivalSpec::Kind::kRecorded,
                  .recorded = {{Seconds(0), 1, 4}, {Seconds(0.03), 1, 1}}};
  ServingMachine machine(two);
  const TickReport tick = machine.run_tick(Seconds(0.5), Seconds(0.05), one_expert());
  // Steps at 0, 0.03 (the second request; it decodes the first), 0.08, 0.13.
  std::vector<double> gaps;
  for (const TokenGap& g : tick.serving->between_tokens) gaps.push_back(g.gap.value);
  ASSERT_EQ(gaps.size(), 3u);
  EXPECT_NEAR(gaps[0], 0.03, 1e-9);
  EXPECT_NEAR(gaps[1], 0.05, 1e-9);
  EXPECT_NEAR(gaps[2], 0.05, 1e-9);
  EXPECT_EQ(tick.serving->mixed_steps, 2.0);
  EXPECT_NEAR(tick.step_time.value, 0.01, 1e-9);
  EXPECT_EQ(tick.step_period, Seconds(0.05));
}

TEST_F(Serving, PaddingRowsAreRoutedAndAskedForOnceATick) {
  ServingMachineOptions three = options(0, 0);
  three.engine.graph_sizes = {1, 2, 4, 8};
  three.arrivals = {.kind = ArrivalSpec::Kind::kRecorded,
                    .recorded = {{Seconds(0), 1, 50}, {Seconds(0), 1, 50}, {Seconds(0), 1, 50}}};
  ServingMachine machine(three);
  machine.run_tick(Seconds(0.1), Seconds(0), one_expert());
  EXPECT_EQ(asked_, (std::vector<int>{4}));  // three sequences, or three prompts of a token
  const TickReport tick = machine.run_tick(Seconds(0.2), Seconds(0), one_expert());
  EXPECT_EQ(asked_, (std::vector<int>{4, 4}));
  EXPECT_EQ(tick.serving->batch, 3.0);
  EXPECT_EQ(tick.serving->rows, 4.0);
}

TEST_F(Serving, AboveTheLargestGraphAStepRunsAtItsOwnSize) {
  ServingMachineOptions many = options(0, 0);
  many.engine.graph_sizes = {1, 2};
  many.arrivals = {.kind = ArrivalSpec::Kind::kRecorded,
                   .recorded = std::vector<Request>(5, {Seconds(0), 1, 50})};
  ServingMachine machine(many);
  machine.run_tick(Seconds(0.1), Seconds(0), one_expert());
  EXPECT_EQ(asked_, (std::vector<int>{5}));
}

TEST_F(Serving, StepsThatReadPromptsCostTheirTokensAndAreRoutedWithoutPrices) {
  ServingMachineOptions one = options(0, 0);
  one.arrivals = {.kind = ArrivalSpec::Kind::kRecorded, .recorded = {{Seconds(0), 1000, 2}}};
  one.prefill = {.per_token = {.latency = Seconds(20e-6), .energy = Joules(5e-3)},
                 .per_step = {.latency = Seconds(3e-3), .energy = Joules(0.5)}};
  std::vector<int> unpriced;
  one.unpriced = [&](std::optional<int> rows) {
    unpriced.push_back(rows.value());
    stats_ = {.layers = 1, .experts = 8, .tokens = *rows, .counts = {1, 1, 1, 1, 1, 1, 1, 1}};
    return StepLoads{.plan = plan_, .stats = stats_, .sample = sample_};
  };
  ServingMachine machine(one);
  const TickReport tick = machine.run_tick(Seconds(0.1), Seconds(0), one_expert());
  EXPECT_EQ(unpriced, (std::vector<int>{128}));  // as many rows as tell the active experts
  EXPECT_EQ(asked_, (std::vector<int>{1}));
  EXPECT_NEAR(tick.serving->to_first_token.at(0).value, 17e-3 + 3e-3 + 1000 * 20e-6, 1e-9);
  EXPECT_NEAR(tick.truth.energy->value, 10.0 + (2.7 + 0.5 + 5.0) + 2.0, 1e-6);
  EXPECT_NEAR(tick.step_time.value, 0.01, 1e-9);  // of the step that read none
}

TEST_F(Serving, CostsBesideTheExpertsAreThoseOfTheSequences) {
  ServingMachineOptions two = options(0, 0, 2);
  two.charge.other = {.cost = {.latency = Seconds(1.0)}};  // not read then
  two.other = {{.cost = {.latency = Seconds(1e-3), .energy = Joules(0.1)}},
               {.cost = {.latency = Seconds(5e-3), .energy = Joules(0.4)}}};
  two.arrivals = {.kind = ArrivalSpec::Kind::kRecorded,
                  .recorded = {{Seconds(0), 1, 1}, {Seconds(0.05), 1, 1}, {Seconds(0.05), 1, 1}}};
  ServingMachine machine(two);
  const TickReport tick = machine.run_tick(Seconds(0.1), Seconds(0), one_expert());
  EXPECT_NEAR(tick.serving->to_first_token.at(0).value, 0.011, 1e-9);
  EXPECT_NEAR(tick.serving->to_first_token.at(1).value, 0.015, 1e-9);
  EXPECT_NEAR(tick.truth.energy->value, 10.0 + 2 * 2.0 + 0.5, 1e-6);
  two.other.pop_back();
  EXPECT_THROW(ServingMachine{two}, PreconditionError);
}

TEST_F(Serving, RequestsComeAtTheSameTimesHoweverFastItServes) {
  const auto arrivals_by_tick = [&](Seconds period, std::uint64_t seed) {
    ServingMachineOptions some = options(5.0, 60);
    some.arrivals.seed = seed;
    ServingMachine machine(some);
    std::vector<int> arrived;
    for (int i = 1; i <= 300; ++i) {
      arrived.push_back(machine.run_tick(i * kTick, period, one_expert()).serving->arrived);
    }
    return arrived;
  };
  EXPECT_EQ(arrivals_by_tick(Seconds(0), 1), arrivals_by_tick(Seconds(0.05), 1));
  EXPECT_NE(arrivals_by_tick(Seconds(0), 1), arrivals_by_tick(Seconds(0), 2));
}

TEST_F(Serving, ATenantStretchesTheStepsAndAddsItsWatts) {
  ServingMachineOptions one = options(0, 0);
  one.arrivals = {.kind = ArrivalSpec::Kind::kRecorded, .recorded = {{Seconds(0), 1, 1000}}};
  one.disturbances = {{.kind = Disturbance::Kind::kBackground,
                       .from = Seconds(1.0),
                       .to = Seconds(2.0),
                       .power = Watts(50),
                       .bandwidth_share = 0.5}};
  ServingMachine machine(one);
  std::vector<TickReport> ticks;
  for (int i = 1; i <= 20; ++i) {
    ticks.push_back(machine.run_tick(i * kTick, Seconds(0), one_expert()));
  }
  EXPECT_NEAR(ticks[5].step_time.value, 0.01, 1e-9);
  EXPECT_NEAR(ticks[5].truth.mean_power->value, 300.0, 1e-6);
  EXPECT_NEAR(ticks[15].step_time.value, 0.02, 1e-9);
  EXPECT_NEAR(ticks[15].truth.mean_power->value, 100.0 + 50.0 + 100.0, 1e-6);
  EXPECT_NE(machine.open_sensors(), nullptr);
}

TEST_F(Serving, ASaturatedEngineDrawsWhatTheOtherMachineDraws) {
  ServingMachineOptions full = options(0, 0, 4);
  full.arrivals = {.kind = ArrivalSpec::Kind::kRecorded,
                   .recorded = std::vector<Request>(4, {Seconds(0), 1, 1 << 16})};
  full.step_noise = 0.1;
  ServingMachine serving(full);
  SimulatedMachine plain({.gpu = full.gpu, .charge = full.charge, .step_noise = 0.1});
  for (int i = 1; i <= 50; ++i) {
    const TickReport a = serving.run_tick(i * kTick, Seconds(0), one_expert());
    const TickReport b =
        plain.run_tick(i * kTick, Seconds(0), [&](std::optional<int>) { return one_expert()(4); });
    if (i == 1) continue;  // a step that began in a tick keeps that tick's draw
    EXPECT_NEAR(a.truth.mean_power->value, b.truth.mean_power->value, 25.0);
    EXPECT_NEAR(a.truth.temperature->value, b.truth.temperature->value, 0.5);
  }
}

}  // namespace
}  // namespace thermoe
