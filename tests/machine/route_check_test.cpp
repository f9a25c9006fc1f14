// SPDX-License-Identifier: Apache-2.0
#include "machine/gpu/route_check.h"

#include <gmock/gmock.h>

#include "core/errors.h"
#include "fake_step_load.h"
#include "random_step.h"

namespace thermoe {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr StepShape kShape{};
constexpr RouterSpec kRouter{.experts = kShape.experts, .k = 4};

/// What a load says that routes as it should.
RoutedPicks picks_of(const StagedStep& step, const RouterSpec& router) {
  FakeStepLoad load(router);
  load.step_seconds = 0.0;
  load.stage(step);
  load.run();
  return load.picks();
}

TEST(RouteCheck, PicksOfTheSameRoutingPassUnderAnyPlan) {
  std::mt19937 random(11);
  RouterSpec router = kRouter;
  for (const ScoreFunction score :
       {ScoreFunction::kSoftmax, ScoreFunction::kSigmoid, ScoreFunction::kSqrtSoftplus}) {
    router.score = score;
    router.selection_bias.assign(std::size_t{3} * 16, score == ScoreFunction::kSoftmax ? 0 : 0.1F);
    for (std::uint64_t version = 1; version < 30; ++version) {
      const StagedStep step = random_step(kShape, router, version, random);
      EXPECT_FALSE(find_problem(step.plan)) << *find_problem(step.plan);
      EXPECT_EQ(check_routing(step, router, picks_of(step, router)), 0U);
    }
  }
}

TEST(RouteCheck, AWrongPickIsAnErrorThatNamesPlanLayerTokenAndBothPicks) {
  std::mt19937 random(12);
  StagedStep step = random_step(kShape, kRouter, 7, random);
  step.plan.layer(2) = {.k = 1, .k_min = 1};
  const RoutedPicks right = picks_of(step, kRouter);
  RoutedPicks wrong = right;
  const std::size_t at = std::size_t{2 * 5 + 3} * 5;  // layer 2, token 3
  wrong.expert[at] = (right.expert[at] + 1) % 16;
  EXPECT_THAT(
      [&] { check_routing(step, kRouter, wrong); },
      ThrowsMessage<Error>(AllOf(HasSubstr("plan 7, layer 2, token 3,"),
                                 HasSubstr(fmt::format("CPU picks experts {}, the load {}",
                                                       right.expert[at], wrong.expert[at])))));
  wrong.expert[at] = -1;
  EXPECT_THAT([&] { check_routing(step, kRouter, wrong); },
              ThrowsMessage<Error>(HasSubstr("the load none")));
}

TEST(RouteCheck, AWrongCountIsAnErrorThatNamesLayerAndExpert) {
  std::mt19937 random(13);
  const StagedStep step = random_step(kShape, kRouter, 7, random);
  RoutedPicks picks = picks_of(step, kRouter);
  ++picks.counts[1 * 16 + 9];
  EXPECT_THAT([&] { check_routing(step, kRouter, picks); },
              ThrowsMessage<Error>(
                  AllOf(HasSubstr("plan 7 layer 1 counted"), HasSubstr("tokens of expert 9;"))));
}

TEST(RouteCheck, PicksUnderAnotherPlanAreAnError) {
  std::mt19937 random(14);
  StagedStep step = random_step(kShape, kRouter, 7, random);
  const RoutedPicks picks = picks_of(step, kRouter);
  step.plan.header().version = 8;
  EXPECT_THAT(
      [&] { check_routing(step, kRouter, picks); },
      ThrowsMessage<Error>(AllOf(HasSubstr("routed by plan 7"), HasSubstr("under plan 8"))));
}

TEST(RouteCheck, TheStepsNumberCountsAsItRotatesWhoHasOneMore) {
  std::mt19937 random(15);
  StagedStep step = random_step(kShape, kRouter, 7, random);
  step.plan.set_fractional_k(2.5);
  const RoutedPicks picks = picks_of(step, kRouter);
  EXPECT_EQ(check_routing(step, kRouter, picks), 0U);
  ++step.step;
  EXPECT_THROW(check_routing(step, kRouter, picks), Error);
}

TEST(RouteCheck, PicksOfAnotherShapeAreTheCallersFault) {
  std::mt19937 random(16);
  const StagedStep step = random_step(kShape, kRouter, 7, random);
  RoutedPicks picks = picks_of(step, kRouter);
  picks.tokens = 4;
  EXPECT_THROW(check_routing(step, kRouter, picks), PreconditionError);
}

/// One token that picks expert 3 just before expert 2, and a load that picked expert 2.
struct CloseCall {
  CloseCall(ScoreFunction score, float ahead) : router{.experts = 16, .k = 1, .score = score} {
    step.plan = RoutingPlan(1, 16, 1);
    step.sample = {
        .layers = 1, .tokens = 1, .experts = 16, .logits = std::vector<float>(16, -1.0F)};
    step.sample.logits[2] = 0.5F;
    step.sample.logits[3] = 0.5F + ahead;
    picks = picks_of(step, router);
    EXPECT_EQ(picks.expert[0], 3);
    picks.expert[0] = 2;
    std::swap(picks.counts[2], picks.counts[3]);
  }
  std::uint64_t check() const { return check_routing(step, router, picks); }

  RouterSpec router;
  StagedStep step{};
  RoutedPicks picks{};
};

TEST(RouteCheck, NearTiesAreCountedButOfSoftmax) {
  EXPECT_EQ(CloseCall(ScoreFunction::kSigmoid, 1e-6F).check(), 1U);
  EXPECT_EQ(CloseCall(ScoreFunction::kSqrtSoftplus, 1e-6F).check(), 1U);
  EXPECT_THROW(CloseCall(ScoreFunction::kSoftmax, 1e-6F).check(), Error);
  EXPECT_THROW(CloseCall(ScoreFunction::kSigmoid, 1e-3F).check(), Error);
}

TEST(RouteCheck, ExpertsThatThePlanTellsApartAreNoTie) {
  CloseCall close(ScoreFunction::kSigmoid, 1e-6F);
  close.step.plan.selection_bias(0)[2] = 0.1F;
  EXPECT_THROW(close.check(), Error);
}

}  // namespace
}  // namespace thermoe
