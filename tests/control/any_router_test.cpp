// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

#include "control/keep_and_fill.h"
#include "control/plan_writer.h"
#include "control/price_walk.h"
#include "core/errors.h"
#include "synthetic_router.h"

namespace thermoe {
namespace {

using testing::h100_like;
using testing::LogitSource;
using testing::ReferenceRouter;

constexpr int kLayers = 2, kTokens = 12, kExperts = 24, kK = 3;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Groups {
  int all, kept;
};
using Shape = std::tuple<ScoreFunction, Groups, bool, LossScores>;

/// Routers of every kind on random logits, a fifth of which are -infinity.
class AnyRouter : public ::testing::TestWithParam<Shape> {
 protected:
  AnyRouter() {
    const auto [score, groups, beta, losses] = GetParam();
    config_.router = {.experts = kExperts,
                      .k = kK,
                      .score = score,
                      .groups = groups.all,
                      .groups_kept = groups.kept,
                      .loss_scores = losses};
    if (!beta) return;
    std::normal_distribution<float> normal;
    const float spread = score == ScoreFunction::kSoftmax ? 0.02F : 0.2F;
    for (int i = 0; i < kLayers * kExperts; ++i) {
      config_.router.selection_bias.push_back(spread * normal(random_));
    }
  }

  LogitSample next() {
    LogitSample sample = source_.next();
    std::uniform_int_distribution<int> fifth(0, 4);
    for (float& x : sample.logits) {
      if (fifth(random_) == 0) x = -kInfinity;
    }
    return sample;
  }

  PricingParameters parameters(int k, int k_min, bool biased) {
    PricingParameters p{.k = k, .k_min = k_min};
    std::uniform_real_distribution<float> bias(-0.05F, 0.05F), price(0.5F, 2.0F);
    for (int i = 0; i < kLayers * kExperts; ++i) {
      if (biased) p.bias.push_back(bias(random_));
      p.unit_price.push_back(price(random_));
    }
    return p;
  }

  std::shared_ptr<const Utilities> utilities(const LogitSample& sample) const {
    return std::make_shared<const Utilities>(sample, config_.router);
  }

  ControllerConfig config_{.layers = kLayers, .costs = h100_like(kLayers)};
  std::mt19937 random_{21};
  LogitSource source_{kLayers, kTokens, kExperts, 22};
};

TEST_P(AnyRouter, IsPricedAsTheRuleReadLiterally) {
  const ReferenceRouter router(config_.router);
  for (int round = 0; round < 12; ++round) {
    const LogitSample sample = next();
    const PricingParameters p = parameters(kK - round % 2, 1 + round / 2 % 2, round % 3 == 0);
    const auto priced = std::make_shared<const PricedSample>(utilities(sample), p);
    PriceWalk walk(priced, {});
    for (const double lambda : {0.0, 0.03, 0.11, 0.27, 0.6, 2.0, 0.2}) {
      const RoutingStats expected = router.route(sample, priced_plan(config_, p, lambda));
      const RoutingStats got = priced->loads(lambda);
      ASSERT_EQ(got.counts, expected.counts) << "round " << round << " lambda " << lambda;
      ASSERT_NEAR(got.kept_mass, expected.kept_mass, 1e-5) << "round " << round;
      ASSERT_NEAR(*got.quality_loss, *expected.quality_loss, 1e-5) << "round " << round;
      walk.move_to(lambda);
      int walked = 0;
      const auto by_load = walk.histogram().of(0);
      for (std::size_t n = 1; n < by_load.size(); ++n) walked += by_load[n];
      ASSERT_EQ(walked, std::lround(expected.mean_active() * kLayers));
      ASSERT_NEAR(walk.kept().mean(), expected.kept_mass, 1e-5);
      ASSERT_NEAR(walk.kept().quality_loss(), *expected.quality_loss, 1e-5);
    }
  }
}

TEST_P(AnyRouter, TakesFewerExpertsAsTheRuleReadLiterally) {
  const LogitSample sample = next();
  const auto by_k = plain_loads(*utilities(sample));
  for (int k = 1; k <= kK; ++k) {
    const RoutingStats expected =
        ReferenceRouter(config_.router).route(sample, reduced_plan(config_, k));
    EXPECT_EQ(by_k[k - 1].counts, expected.counts) << "k = " << k;
    EXPECT_NEAR(by_k[k - 1].kept_mass, expected.kept_mass, 1e-5);
    EXPECT_NEAR(*by_k[k - 1].quality_loss, *expected.quality_loss, 1e-5);
  }
}

TEST_P(AnyRouter, KeepsAndFillsAsTheRuleReadLiterally) {
  const LogitSample sample = next();
  const PricedSample priced(utilities(sample), {.k = kK});
  for (int keep = 1; keep <= kK; ++keep) {
    const RoutingStats expected =
        ReferenceRouter(config_.router).route(sample, opportunistic_plan(config_, keep));
    const RoutingStats got = keep_and_fill(priced, keep);
    EXPECT_EQ(got.counts, expected.counts) << "k0 = " << keep;
    EXPECT_NEAR(got.kept_mass, expected.kept_mass, 1e-5);
    EXPECT_NEAR(*got.quality_loss, *expected.quality_loss, 1e-5);
  }
}

TEST_P(AnyRouter, RanksAsItSelects) {
  const auto u = utilities(next());
  for (std::size_t row = 0; row < kLayers * kTokens; ++row) {
    const auto v = u->all_selection().subspan(row * kExperts, kExperts);
    const auto utility = u->all().subspan(row * kExperts, kExperts);
    const auto best = u->ranking().experts(row);
    ASSERT_GE(best.size(), static_cast<std::size_t>(std::min(kK + 1, u->reach())));
    double picked = 0.0;
    for (std::size_t i = 0; i < best.size(); ++i) {
      ASSERT_EQ(u->ranking().utilities(row)[i], utility[best[i]]);
      ASSERT_GT(v[best[i]], -kInfinity);
      ASSERT_GE(v[best[i == 0 ? 0 : i - 1]], v[best[i]]);
      if (i < kK) picked += utility[best[i]];
    }
    EXPECT_NEAR(picked, 1.0, 1e-5);
    const auto reached = std::count_if(v.begin(), v.end(), [](float x) { return x > -kInfinity; });
    EXPECT_EQ(reached, u->reach());
  }
}

std::string name_of_shape(const ::testing::TestParamInfo<Shape>& info) {
  const auto [score, groups, beta, losses] = info.param;
  return fmt::format("{}_{}of{}{}_{}", to_string(score), groups.kept, groups.all,
                     beta ? "_beta" : "", to_string(losses));
}

INSTANTIATE_TEST_SUITE_P(
    Control, AnyRouter,
    ::testing::Combine(::testing::Values(ScoreFunction::kSoftmax, ScoreFunction::kSigmoid,
                                         ScoreFunction::kSqrtSoftplus),
                       ::testing::Values(Groups{1, 1}, Groups{4, 2}, Groups{24, 6}, Groups{8, 1}),
                       ::testing::Bool(),
                       ::testing::Values(LossScores::kUnbiased, LossScores::kBiased)),
    name_of_shape);

TEST(ControlKeepAndFill, AMixKeepsOneMoreOfTheShareOfTokens) {
  LogitSource source(kLayers, 200, kExperts, 5);
  const RouterSpec router{.experts = kExperts, .k = kK};
  const PricedSample priced(std::make_shared<const Utilities>(source.next(), router), {.k = kK});
  double before = 0.0;
  for (const double keep : {1.0, 1.25, 1.5, 1.75, 2.0, 3.0}) {
    const RoutingStats stats = keep_and_fill(priced, keep);
    EXPECT_GE(stats.mean_active(), before);
    before = stats.mean_active();
  }
  // Of 4 tokens on 4 experts of their own, a mix of 1 and 2 keeps as many more as the share says.
  LogitSample own{.layers = 1, .tokens = 4, .experts = 8, .logits = std::vector<float>(32, -9.0F)};
  for (std::size_t t = 0; t < 4; ++t)
    own.logits[t * 8 + 2 * t] = 2, own.logits[t * 8 + 2 * t + 1] = 1;
  const PricedSample apart(std::make_shared<const Utilities>(own, RouterSpec{.experts = 8, .k = 2}),
                           {.k = 2});
  EXPECT_EQ(keep_and_fill(apart, 1.0).active(0), 4);
  EXPECT_EQ(keep_and_fill(apart, 1.25).active(0), 5);
  EXPECT_EQ(keep_and_fill(apart, 1.5).active(0), 6);
  EXPECT_EQ(keep_and_fill(apart, 2.0).active(0), 8);
  EXPECT_THROW(keep_and_fill(apart, 2.5), PreconditionError);
  EXPECT_THROW(keep_and_fill(apart, 0.5), PreconditionError);
}

Utilities of_one_token(std::vector<float> logits, RouterSpec router) {
  router.experts = static_cast<int>(logits.size());
  return {{.layers = 1, .tokens = 1, .experts = router.experts, .logits = std::move(logits)},
          router};
}

TEST(ControlUtilities, ALogitOfMinusInfinityIsScoreZero) {
  for (const auto score :
       {ScoreFunction::kSoftmax, ScoreFunction::kSigmoid, ScoreFunction::kSqrtSoftplus}) {
    const Utilities u = of_one_token({1, -kInfinity, 2, -kInfinity}, {.k = 3, .score = score});
    EXPECT_TRUE(u.finite());
    EXPECT_EQ(u.row(0, 0)[1], 0.0F);
    EXPECT_EQ(u.ranking().experts(0)[2], 1) << "ties go to the lowest id";
    EXPECT_NEAR(u.row(0, 0)[0] + u.row(0, 0)[2], 1.0, 1e-6);
  }
}

TEST(ControlUtilities, NanAndPlusInfinityAreNotFinite) {
  EXPECT_FALSE(of_one_token({1, kInfinity, 2}, {.k = 1}).finite());
  EXPECT_FALSE(of_one_token({1, std::nanf(""), 2}, {.k = 1}).finite());
}

TEST(ControlUtilities, ATokenWithoutAnyScoreLosesNothing) {
  const auto u =
      std::make_shared<const Utilities>(of_one_token(std::vector<float>(6, -kInfinity), {.k = 2}));
  EXPECT_TRUE(u->finite());
  EXPECT_EQ(PricedSample(u, {.k = 1}).loads(0.0).kept_mass, 1.0);
  EXPECT_EQ(plain_loads(*u).front().kept_mass, 1.0);
}

TEST(ControlUtilities, AnExpertChosenForItsBiasIsFreeInUnbiasedLossesOnly) {
  // Token 0 takes expert 3 for its beta alone, and would have taken 1, which token 1 brings in.
  const LogitSample sample{
      .layers = 1, .tokens = 2, .experts = 4, .logits = {2, 1, 0, -1, /**/ 9, 8, 0, -99}};
  RouterSpec router{
      .experts = 4, .k = 2, .score = ScoreFunction::kSigmoid, .selection_bias = {0, 0, 0, 0.9F}};
  const auto loss = [&] {
    return PricedSample(std::make_shared<const Utilities>(sample, router), {.k = 2}).losses()[3];
  };
  EXPECT_EQ(loss(), 0.0F);
  router.loss_scores = LossScores::kBiased;
  EXPECT_NEAR(loss(), (0.9 + 0.2689 - 0.7311) / (0.8808 + 0.2689), 1e-3);
}

TEST(ControlUtilities, ARefillOfMoreScoreThanAPickGainsNothing) {
  // Token 0 takes expert 1 for its beta; without it 2 takes its place, of much more score.
  const LogitSample sample{
      .layers = 1, .tokens = 2, .experts = 4, .logits = {3, 0, 2, -9, /**/ 8, -99, 9, -9}};
  const RouterSpec router{
      .experts = 4, .k = 2, .score = ScoreFunction::kSigmoid, .selection_bias = {0, 0.42F, 0, 0}};
  const auto u = std::make_shared<const Utilities>(sample, router);
  const RoutingStats stats = PricedSample(u, {.k = 2, .k_min = 1}).loads(9.0);
  EXPECT_EQ(stats.counts[2], 2) << "token 0 refills from what token 1 keeps";
  EXPECT_EQ(stats.kept_mass, 1.0);
}

TEST(ControlUtilities, RefuseARouterThatCannotBe) {
  EXPECT_THROW(of_one_token({1, 2, 3}, {.k = 4}), PreconditionError);
  EXPECT_THROW(of_one_token({1, 2, 3}, {.k = 1, .groups = 2}), PreconditionError);
  EXPECT_THROW(of_one_token({1, 2, 3}, {.k = 1, .selection_bias = {0}}), PreconditionError);
}

}  // namespace
}  // namespace thermoe
