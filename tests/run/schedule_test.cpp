// SPDX-License-Identifier: Apache-2.0
#include "run/schedule.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <set>

#include "core/errors.h"
#include "experiment_fixture.h"

namespace thermoe {
namespace {

using testing::ElementsAre;

const std::vector<Strategy> kFour = {Strategy::kReducedK, Strategy::kStaticOptimal,
                                     Strategy::kBaseline, Strategy::kKernelAwareTtha};

std::vector<Strategy> round_of(const std::vector<Turn>& turns, int round) {
  std::vector<Strategy> order;
  for (const Turn& turn : turns) {
    if (turn.round == round) order.push_back(turn.strategy);
  }
  return order;
}

TEST(Schedule, OneRoundIsTheGivenOrderWithBaselineFirst) {
  EXPECT_THAT(round_of(schedule(1, kFour, 7), 0),
              ElementsAre(Strategy::kBaseline, Strategy::kReducedK, Strategy::kStaticOptimal,
                          Strategy::kKernelAwareTtha));
  EXPECT_EQ(schedule(1, kFour, 8), schedule(1, kFour, 7)) << "no seed moves it";
}

TEST(Schedule, EveryRoundHasEveryStrategyOnceInAnOrderOfItsOwn) {
  const std::vector<Turn> turns = schedule(40, kFour, 7);
  ASSERT_EQ(turns.size(), 160U);
  std::set<std::vector<Strategy>> orders;
  for (int round = 0; round < 40; ++round) {
    const std::vector<Strategy> order = round_of(turns, round);
    EXPECT_THAT(order, testing::UnorderedElementsAreArray(kFour));
    orders.insert(order);
  }
  EXPECT_GT(orders.size(), 12U) << "of 24";
  EXPECT_TRUE(std::ranges::is_sorted(turns, {}, &Turn::round)) << "round by round";
}

TEST(Schedule, ASeedRepeatsItAndMoreRoundsLeaveTheFirstOnesAlone) {
  const std::vector<Turn> six = schedule(6, kFour, 7);
  const std::vector<Turn> three = schedule(3, kFour, 7);
  EXPECT_TRUE(std::equal(three.begin(), three.end(), six.begin()));
  EXPECT_NE(schedule(6, kFour, 8), six);
}

TEST(Schedule, ALaterTurnIsNamedByItsRound) {
  EXPECT_EQ((Turn{0, Strategy::kReducedK}.name()), "REDUCED_K");
  EXPECT_EQ((Turn{2, Strategy::kReducedK}.name()), "REDUCED_K #3");
  EXPECT_THROW(schedule(0, kFour, 1), PreconditionError);
}

class Rounds : public RunExperiment {};

TEST_F(Rounds, RepeatTheTextWithOtherNoiseAndAreSummarisedOneByOne) {
  const std::string changes =
      R"({"duration_s": 20, "disturbances": null, "strategies": ["BASELINE", "KERNEL_AWARE_TTHA"],
          "plant": {"step_noise": 0.05}, "rounds": )";
  const RunResult result = run(experiment(changes + "3}"));
  std::vector<std::string> names;
  for (const StrategySummary& s : result.summary.strategies) names.push_back(s.name);
  EXPECT_THAT(names, testing::UnorderedElementsAre("BASELINE", "KERNEL_AWARE_TTHA", "BASELINE #2",
                                                   "KERNEL_AWARE_TTHA #2", "BASELINE #3",
                                                   "KERNEL_AWARE_TTHA #3"));
  EXPECT_EQ(column("BASELINE #2", Metric::kBits), column("BASELINE", Metric::kBits));
  EXPECT_NE(column("BASELINE #2", Metric::kStepTime), column("BASELINE", Metric::kStepTime));
  EXPECT_NEAR(*named(result, "BASELINE #3").kl_to_baseline, 0.0, 1e-6);
  EXPECT_GT(*named(result, "KERNEL_AWARE_TTHA #3").kl_to_baseline, 0.0);
  const auto& again = named(result, "BASELINE #3").loss_interval;
  ASSERT_TRUE(again.has_value());
  EXPECT_NEAR(again->low, 0.0, 1e-9) << "against the first round's, which later ones leave alone";
  EXPECT_NEAR(again->high, 0.0, 1e-9);

  memory_ = {};
  const RunResult second = run(experiment(changes + R"(3, "round": 2})"));
  EXPECT_EQ(second.summary.strategies.size(), 2U);
  EXPECT_EQ(column("KERNEL_AWARE_TTHA #2", Metric::kKl).size(), 200U);
  EXPECT_NEAR(*named(second, "BASELINE #2").kl_to_baseline, 0.0, 1e-6)
      << "to a BASELINE pass without a machine";

  memory_ = {};
  run(experiment(changes + "3}"));
  const std::vector<double> first = column("KERNEL_AWARE_TTHA", Metric::kPower);
  memory_ = {};
  run(experiment(changes + "1}"));
  EXPECT_EQ(column("KERNEL_AWARE_TTHA", Metric::kPower), first) << "a single round is the first";
}

}  // namespace
}  // namespace thermoe
