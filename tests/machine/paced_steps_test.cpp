// SPDX-License-Identifier: Apache-2.0
// Bounds are such that a loaded machine, which only makes things later, does not break them.
#include "machine/gpu/paced_steps.h"

#include <gmock/gmock.h>

#include <cmath>

#include "bounded_wait.h"
#include "core/errors.h"
#include "fake_step_load.h"

namespace thermoe {
namespace {

void sleep(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }

class PacedStepsOfAFake : public testing::Test {
 protected:
  /// Once so many steps have begun since the load was made.
  bool begun(int n) {
    return comes_true([this, n] { return load_.steps >= n; });
  }
  std::string failure() {
    std::string said;
    const bool failed = comes_true([&] {
      try {
        steps_.take_tally();
      } catch (const std::exception& e) {
        said = e.what();
      }
      return !said.empty();
    });
    return failed ? said : "none";
  }

  const RouterSpec router_ = small_router();
  const SteadyClock clock_{};
  FakeStepLoad load_{};
  PacedSteps steps_{load_, router_, clock_};
};

TEST_F(PacedStepsOfAFake, NothingRunsBeforeTheFirstStage) {
  steps_.set_period(Seconds(0.001));
  sleep(0.02);
  EXPECT_EQ(steps_.take_tally().steps, 0U);
  EXPECT_EQ(load_.steps, 0);
}

TEST_F(PacedStepsOfAFake, AStepRunsEachPeriod) {
  steps_.set_period(Seconds(0.01));
  const Seconds from = clock_.now();
  steps_.stage(staged_step(1));
  ASSERT_TRUE(begun(31));
  steps_.pause();
  const StepTally tally = steps_.take_tally();
  EXPECT_GE(tally.steps, 31U);
  EXPECT_GT(tally.to - from, Seconds(0.29)) << "no step comes before its time";
  EXPECT_EQ(tally.spaced, tally.steps - 1) << "the first has none before it";
  EXPECT_GT(tally.spacing / static_cast<double>(tally.spaced), Seconds(0.0095));
  EXPECT_LE(tally.spacing, tally.to - tally.from);
  EXPECT_NEAR(tally.busy.value, 0.001 * static_cast<double>(tally.steps), 1e-9);
  EXPECT_GE(tally.from, from);
}

TEST_F(PacedStepsOfAFake, WithoutAPeriodStepsAreBackToBackAndNoneIsLate) {
  load_.step_seconds = 0.0002;
  steps_.stage(staged_step(1));
  ASSERT_TRUE(begun(100));
  steps_.pause();
  const StepTally tally = steps_.take_tally();
  EXPECT_EQ(tally.late, 0U);
  EXPECT_GE(tally.steps, 100U);
  EXPECT_GE(tally.spacing / static_cast<double>(tally.spaced), Seconds(0.0002));
}

TEST_F(PacedStepsOfAFake, AStepThatOutlastsThePeriodMakesTheNextLateAndTheBacklogIsDropped) {
  steps_.set_period(Seconds(0.01));
  load_.step_seconds = 0.3;
  const Seconds from = clock_.now();
  steps_.stage(staged_step(1));
  ASSERT_TRUE(begun(1));
  load_.step_seconds = 0.0;
  ASSERT_TRUE(begun(22));  // the second is late by 0.29 s
  EXPECT_GT(clock_.now() - from, Seconds(0.3 + 0.19)) << "the 29 steps missed are gone";
  steps_.pause();
  EXPECT_GE(steps_.take_tally().late, 1U);
}

TEST_F(PacedStepsOfAFake, ABacklogWithinAPeriodIsCaughtUpWith) {
  steps_.set_period(Seconds(0.2));
  load_.step_seconds = 0.35;
  const Seconds from = clock_.now();
  steps_.stage(staged_step(1));
  ASSERT_TRUE(begun(1));
  load_.step_seconds = 0.0;
  ASSERT_TRUE(begun(3));  // due at 0.2 s, begun at 0.35 s; due at 0.4 s
  EXPECT_GE(clock_.now() - from, Seconds(0.399));
  // Unless this machine was slow: had the schedule moved, it would have begun at 0.55 s.
  if (steps_.take_tally().late == 1) {
    EXPECT_LT(clock_.now() - from, Seconds(0.55));
  }
}

TEST_F(PacedStepsOfAFake, WhatIsStagedOnceRunsAgainAndAgain) {
  steps_.stage(staged_step(1));
  ASSERT_TRUE(begun(10));
  steps_.pause();
  const StepTally tally = steps_.take_tally();
  EXPECT_EQ(tally.compared, 1U);
  EXPECT_EQ(tally.repeated, tally.steps - 1);
  EXPECT_EQ(tally.near_ties, 0U);
}

TEST_F(PacedStepsOfAFake, OfWhatIsStagedDuringAStepTheNewestRuns) {
  std::vector<std::uint64_t> ran;
  std::atomic<std::uint64_t> newest{0};
  std::atomic<bool> all_staged{false};
  load_.on_stage = [&](const StagedStep& step) {
    ran.push_back(step.plan.header().version);
    newest = ran.back();
    EXPECT_TRUE(comes_true([&] { return all_staged.load(); }));
  };
  steps_.stage(staged_step(1));
  ASSERT_TRUE(comes_true([&] { return newest == 1; }));
  for (std::uint64_t version = 2; version <= 5; ++version) steps_.stage(staged_step(version));
  all_staged = true;
  ASSERT_TRUE(comes_true([&] { return newest == 5; }));
  steps_.pause();
  EXPECT_THAT(ran, testing::ElementsAre(1, 5));
}

TEST_F(PacedStepsOfAFake, WhatIsStagedFromAnotherThreadNeverTears) {
  std::atomic<int> torn{0};
  std::atomic<std::uint64_t> newest{0};
  load_.on_stage = [&](const StagedStep& step) {
    const std::uint64_t version = step.plan.header().version;
    const int tokens = 1 + static_cast<int>(version % 5);
    const bool whole = step.step == version && step.sample.tokens == tokens &&
                       step.sample.logits == staged_step(version, tokens).sample.logits;
    if (!whole || version < newest.exchange(version)) ++torn;
  };
  load_.step_seconds = 0.0;
  std::uint64_t compared = 0;
  std::uint64_t version = 0;
  ASSERT_TRUE(comes_true([&] {
    for (int i = 0; i < 100; ++i, ++version) {
      steps_.stage(staged_step(version, 1 + static_cast<int>(version % 5)));
    }
    compared += steps_.take_tally().compared;
    return compared >= 50;
  }));
  steps_.pause();
  EXPECT_EQ(torn, 0);
}

TEST_F(PacedStepsOfAFake, ALoadThatFailsEndsTheStepsAndTheTallySaysWhy) {
  steps_.stage(staged_step(1));
  ASSERT_TRUE(begun(2));
  load_.fails = true;
  EXPECT_THAT(failure(), testing::HasSubstr("fell off the bus"));
  const int before = load_.steps;
  steps_.stage(staged_step(2));
  steps_.pause();  // waits for nothing
  EXPECT_THROW(steps_.take_tally(), std::runtime_error) << "again";
  EXPECT_EQ(load_.steps, before);
}

TEST_F(PacedStepsOfAFake, AStepThatTheDeviceRoutedOtherwiseEndsTheSteps) {
  load_.misroutes = true;
  steps_.stage(staged_step(7));
  EXPECT_THAT(failure(), testing::HasSubstr("7"));
}

TEST_F(PacedStepsOfAFake, APauseWaitsForTheStepUnderWayAndLetsNoOtherBegin) {
  load_.step_seconds = 0.02;
  steps_.stage(staged_step(1));
  ASSERT_TRUE(begun(1));
  steps_.pause();
  EXPECT_FALSE(load_.working);
  const int before = load_.steps;
  sleep(0.05);
  EXPECT_EQ(load_.steps, before);
  EXPECT_EQ(steps_.take_tally().steps, static_cast<std::uint64_t>(before));

  steps_.stage(staged_step(2));
  ASSERT_TRUE(begun(before + 2));
  steps_.pause();
  const StepTally tally = steps_.take_tally();
  EXPECT_EQ(tally.spaced, tally.steps - 1) << "the pause is no spacing";
  EXPECT_LT(tally.spacing, tally.to - tally.from);
}

TEST_F(PacedStepsOfAFake, AWaitForAFarStepEndsWithAShorterPeriodAPauseAndTheThread) {
  steps_.set_period(Seconds(3600));
  steps_.stage(staged_step(1));
  ASSERT_TRUE(begun(1));
  steps_.set_period(Seconds(0.001));
  ASSERT_TRUE(begun(6));
  steps_.set_period(Seconds(3600));
  steps_.pause();  // else the test would not end; nor would it without the destructor's wake
  const int before = load_.steps;
  EXPECT_EQ(steps_.take_tally().steps, static_cast<std::uint64_t>(before));
  steps_.stage(staged_step(2));
  ASSERT_TRUE(begun(before + 1));
}

TEST(PacedSteps, TheDestructorWaitsForTheStepUnderWay) {
  const RouterSpec router = small_router();
  const SteadyClock clock;
  FakeStepLoad load;
  load.step_seconds = 0.05;
  {
    PacedSteps steps(load, router, clock);
    steps.stage(staged_step(1));
    ASSERT_TRUE(comes_true([&] { return load.working.load(); }));
  }
  EXPECT_FALSE(load.working);
}

TEST_F(PacedStepsOfAFake, APeriodIsNoLessThanNothing) {
  EXPECT_THROW(steps_.set_period(Seconds(-1)), PreconditionError);
  EXPECT_THROW(steps_.set_period(Seconds(NAN)), PreconditionError);
}

}  // namespace
}  // namespace thermoe
