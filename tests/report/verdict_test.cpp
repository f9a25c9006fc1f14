// SPDX-License-Identifier: Apache-2.0
#include "report/verdict.h"

#include <gmock/gmock.h>

namespace thermoe {
namespace {

using testing::HasSubstr;
using testing::Not;

StrategySummary strategy(const std::string& name, double over, double mean, double bits) {
  return {.name = name,
          .tokens_per_second = 1000,
          .joules_per_token = mean / 1000,
          .mean_power = Watts(mean),
          .bits_per_byte = bits,
          .baseline_bits_per_byte = 1.4277,
          .targets = {{.target = 350, .violation_fraction = over, .mean = mean}}};
}

RunData run_of(std::vector<StrategySummary> strategies) {
  return {.summary = {.device = "simulated GPU", .strategies = std::move(strategies)}};
}

TEST(Verdict, NamesTheStrategyThatHeldTheCapWithLeastLossAndWhoBrokeIt) {
  const RunData run = run_of({strategy("BASELINE", 1.0, 480.8, 1.4277),
                              strategy("STATIC_OPTIMAL", 0.249, 348.2, 1.4314),
                              strategy("REDUCED_K", 0.0, 348.4, 1.4508),
                              strategy("KERNEL_AWARE_TTHA", 0.004, 348.3, 1.4313)});
  EXPECT_EQ(
      verdict(run),
      "On the simulated GPU, KERNEL_AWARE_TTHA held 350 W (mean 348.3 W, 0.4 % of the time over "
      "the limit), at +0.25 % bits/byte; so did REDUCED_K at +1.62 % bits/byte; BASELINE "
      "exceeded it all the time and STATIC_OPTIMAL 24.9 % of the time.");
}

TEST(Verdict, SpeaksOfNatsWhereNoTextWasDecoded) {
  const auto routed = [](const std::string& name, double over, double mean, double nats) {
    StrategySummary s = strategy(name, over, mean, 0.0);
    s.bits_per_byte.reset();
    s.baseline_bits_per_byte.reset();
    s.quality_loss = nats;
    return s;
  };
  const RunData run =
      run_of({routed("BASELINE", 1.0, 350.1, 0.0), routed("REDUCED_K", 0.0, 300, 0.21),
              routed("KERNEL_AWARE_TTHA", 0.004, 300.2, 0.0321)});
  EXPECT_THAT(verdict(run),
              HasSubstr("KERNEL_AWARE_TTHA held 350 W (mean 300.2 W, 0.4 % of the time over the "
                        "limit), at a loss of 0.0321 nats; so did REDUCED_K at a loss of 0.2100 "
                        "nats; BASELINE exceeded it all the time."));
}

TEST(Verdict, SaysThatNothingHeldAndWhoCameNearest) {
  StrategySummary near = strategy("KERNEL_AWARE_TTHA", 0.4, 371.2, 1.45);
  near.targets.front().best_held = 371.0;
  const std::string text = verdict(run_of({strategy("BASELINE", 1.0, 480.8, 1.4277), near}));
  EXPECT_THAT(text,
              HasSubstr("no strategy held 350 W: KERNEL_AWARE_TTHA came nearest (mean 371.2 W, "
                        "40.0 % of the time over the limit)"));
  EXPECT_THAT(text, HasSubstr("routing alone cannot reach 350 W, the best held was 371.0 W"));
  EXPECT_THAT(text, HasSubstr("BASELINE exceeded it all the time"));
}

TEST(Verdict, OfASingleStrategyThatFailedSaysSo) {
  EXPECT_THAT(verdict(run_of({strategy("STATIC_OPTIMAL", 0.3, 360, 1.43)})),
              HasSubstr("STATIC_OPTIMAL did not hold 350 W"));
}

TEST(Verdict, StandsAloneWhereTheMachineIsNotKnown) {
  RunData run = run_of({strategy("STATIC_OPTIMAL", 0.3, 360, 1.43), strategy("X", 0.9, 360, 1.43)});
  run.summary.device.clear();
  run.summary.simulated = false;
  EXPECT_THAT(verdict(run), testing::StartsWith("No strategy held 350 W"));
}

TEST(Verdict, WithoutATargetComparesEnergy) {
  StrategySummary base = strategy("BASELINE", 0, 480, 1.4277);
  StrategySummary cheap = strategy("STATIC_OPTIMAL", 0, 360, 1.4314);
  base.targets.clear();
  cheap.targets.clear();
  EXPECT_EQ(verdict(run_of({base, cheap})),
            "On the simulated GPU, no target was set; STATIC_OPTIMAL used the least energy, 0.360 "
            "J/token, at +0.26 % bits/byte (-25.0 % energy against BASELINE).");
}

TEST(Verdict, WithoutATokenThereIsNoEnergyToCompare) {
  StrategySummary idle = strategy("BASELINE", 0, 130, 1.4277);
  idle.targets.clear();
  idle.joules_per_token.reset();
  EXPECT_EQ(verdict(run_of({idle})),
            "On the simulated GPU, no target was set, and no token was generated.");
}

TEST(Verdict, WhoGeneratedNothingHeldNothing) {
  StrategySummary idle = strategy("BASELINE", 0, 130, 1.4277);
  idle.tokens_per_second = 0.0;
  EXPECT_EQ(verdict(run_of({idle})),
            "On the simulated GPU, no token was generated: there is nothing to judge.");
}

TEST(Verdict, EnergyIsComparedWithinTheRound) {
  RunData run =
      run_of({strategy("BASELINE", 0, 480, 1.4277), strategy("REDUCED_K", 0, 370, 1.43),
              strategy("REDUCED_K #2", 0, 360, 1.43), strategy("BASELINE #2", 0, 450, 1.4277)});
  for (StrategySummary& s : run.summary.strategies) s.targets.clear();
  EXPECT_THAT(verdict(run), HasSubstr("REDUCED_K #2 used the least energy"));
  EXPECT_THAT(verdict(run), HasSubstr("(-20.0 % energy against BASELINE #2)"));
  run.summary.strategies.back().joules_per_token = 0.3;
  EXPECT_THAT(verdict(run), HasSubstr("BASELINE #2 used the least energy"));
  EXPECT_THAT(verdict(run), Not(HasSubstr("against")));
}

TEST(Verdict, HoldingSeveralTargetsMeansAllOfThem) {
  StrategySummary s = strategy("KERNEL_AWARE_TTHA", 0.01, 348, 1.4313);
  s.targets.push_back({.kind = TargetOutcome::Kind::kStepTime,
                       .target = 9.5,
                       .violation_fraction = 0.0,
                       .mean = 8.4});
  EXPECT_TRUE(held(s));
  EXPECT_THAT(verdict(run_of({s})),
              HasSubstr("held 350 W and 9.50 ms a step (mean 348.0 W, 1.0 % of the time over the "
                        "limit; mean 8.40 ms a step, never over the limit)"));
  s.targets.back().violation_fraction = 0.06;
  EXPECT_FALSE(held(s));
  EXPECT_THAT(verdict(run_of({s})), HasSubstr("did not hold"));
}

TEST(Verdict, ASmallShareIsNotRoundedToNever) {
  const std::string text = verdict(run_of({strategy("A", 0.0001, 348, 1.43)}));
  EXPECT_THAT(text, HasSubstr("less than 0.05 % of the time over the limit"));
  EXPECT_THAT(verdict(run_of({strategy("A", 0.9999, 348, 1.43)})), Not(HasSubstr("100")));
}

TEST(Verdict, OfAnInterruptedRunSaysHowFarItCameAndJudgesNothing) {
  RunData run = run_of({});
  run.interrupted = true;
  run.planned_seconds = 240;
  run.planned = {"BASELINE", "STATIC_OPTIMAL", "REDUCED_K"};
  run.ticks.emplace();
  for (const char* name : {"BASELINE", "STATIC_OPTIMAL"}) {
    StrategyTicks& ticks = run.ticks->strategies.emplace_back(StrategyTicks{.name = name});
    for (auto& column : ticks.columns) column = {37.3};
  }
  EXPECT_EQ(
      verdict(run),
      "The run was interrupted 37.3 s of 240 s into STATIC_OPTIMAL, before REDUCED_K: this is "
      "what it measured until then (simulated), and no verdict.");
}

TEST(Verdict, OfManyTurnsThatAnInterruptedRunDidNotReachThereIsTheNumber) {
  RunData run = run_of({});
  run.interrupted = true;
  run.planned_seconds = 240;
  run.planned = {"BASELINE",     "REDUCED_K",   "BASELINE #2",
                 "REDUCED_K #2", "BASELINE #3", "REDUCED_K #3"};
  run.ticks.emplace();
  const auto reach = [&](const char* name) {
    StrategyTicks& ticks = run.ticks->strategies.emplace_back(StrategyTicks{.name = name});
    for (auto& column : ticks.columns) column = {37.3};
  };
  reach("BASELINE");
  EXPECT_THAT(verdict(run), HasSubstr("into BASELINE, before 5 more of its 6 turns: this"));
  reach("REDUCED_K");
  reach("REDUCED_K #2");
  EXPECT_THAT(
      verdict(run),
      HasSubstr("into REDUCED_K #2, before BASELINE #2, BASELINE #3 and REDUCED_K #3: this"));
}

}  // namespace
}  // namespace thermoe
