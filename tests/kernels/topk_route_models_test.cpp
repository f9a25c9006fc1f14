// SPDX-License-Identifier: Apache-2.0
// Routers of released models, what engines need of routing, and plans that price nothing right.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include "topk_route_problems.h"

namespace thermoe {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::FloatNear;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

class TopkRouteModelsTest : public ::testing::TestWithParam<KernelBackend> {};
INSTANTIATE_TEST_SUITE_P(TopkRouteModels, TopkRouteModelsTest,
                         ::testing::ValuesIn(kernel_backends()), BackendName());

float logit_of(double p) { return static_cast<float>(std::log(p / (1.0 - p))); }

RouteProblem sigmoid_token(std::vector<double> p, int k) {
  RouteProblem problem{
      .tokens = 1, .experts = static_cast<int>(p.size()), .k = k, .score = ScoreFunction::kSigmoid};
  for (const double x : p) problem.logits.push_back(logit_of(x));
  return problem;
}

TEST_P(TopkRouteModelsTest, TheModelsBiasPicksButDoesNotWeigh) {
  RouteProblem problem = sigmoid_token({0.5, 0.4, 0.3, 0.2}, 2);
  problem.model_bias = {0.0F, 0.0F, 0.15F, 0.25F};
  const RouteResult result = route(GetParam(), problem);
  EXPECT_THAT(result.expert, ElementsAre(0, 2));  // 0.5, 0.4, 0.45, 0.45: the lower id
  EXPECT_NEAR(result.weight[0], 0.5 / 0.8, 1e-6);
  EXPECT_EQ(result.kept_mass[0], 1.0F);  // that is what the model itself would run
}

TEST_P(TopkRouteModelsTest, ASoftmaxRoutersBiasIsInUnitsOfItsProbabilities) {
  RouteProblem problem{.tokens = 1,
                       .experts = 4,
                       .k = 1,
                       .logits{std::log(4.0F), std::log(3.0F), std::log(2.0F), 0}};
  problem.model_bias = {0.0F, 0.0F, 0.19F, 0.0F};  // p = 0.4, 0.3, 0.2, 0.1
  EXPECT_THAT(route(GetParam(), problem).expert, ElementsAre(0));
  problem.model_bias[2] = 0.21F;
  EXPECT_THAT(route(GetParam(), problem).expert, ElementsAre(2));
}

TEST_P(TopkRouteModelsTest, OurBiasIsInUnitsOfTheTokensMassBesideTheModels) {
  RouteProblem problem = sigmoid_token({0.5, 0.4, 0.3}, 2);
  problem.model_bias = {0.0F, 0.0F, 0.05F};  // s = 0.9
  problem.bias = {0.0F, 0.05F, 0.0F};        // 0.4 - 0.045 > 0.35
  EXPECT_THAT(route(GetParam(), problem).expert, ElementsAre(0, 1));
  problem.bias[1] = 0.06F;  // 0.4 - 0.054 < 0.35
  const RouteResult result = route(GetParam(), problem);
  EXPECT_THAT(result.expert, ElementsAre(0, 2));
  EXPECT_NEAR(result.kept_mass[0], 0.8 / 0.9, 1e-6);
}

TEST_P(TopkRouteModelsTest, ATokenStaysInsideItsGroupsWhateverOurBiasSays) {
  // Groups {0,1}, {2,3}, {4,5}: sums 0.9, 1.0, 0.8. The best expert's group is not among the best.
  RouteProblem problem = sigmoid_token({0.45, 0.45, 0.5, 0.5, 0.7, 0.1}, 2);
  problem.groups = 3;
  problem.groups_kept = 2;
  EXPECT_THAT(route(GetParam(), problem).expert, ElementsAre(2, 3));
  problem.bias = {0.5F, 0.5F, 0.5F, 0.5F, 0.0F, 0.0F};
  EXPECT_THAT(route(GetParam(), problem).expert, ElementsAre(2, 3));
  problem.bias = {0.0F, 0.0F, 0.5F, 0.5F, 0.0F, 0.0F};
  EXPECT_THAT(route(GetParam(), problem).expert, ElementsAre(0, 1));
}

TEST_P(TopkRouteModelsTest, PricingRefillsInsideATokensOwnGroups) {
  // Token 0 owns the first group only, token 1 the second. Without 1, token 0 has but 0: expert 2,
  // which runs, is not its own.
  RouteProblem problem{.tokens = 2,
                       .experts = 4,
                       .k = 2,
                       .score = ScoreFunction::kSigmoid,
                       .groups = 2,
                       .groups_kept = 1};
  for (const double p : {0.9, 0.8, 0.7, 0.1, 0.1, 0.2, 0.9, 0.8}) {
    problem.logits.push_back(logit_of(p));
  }
  problem.price = {0.0F, 0.48F, 0.0F, 0.0F};  // u of expert 1 is 0.8 / 1.7 = 0.47
  EXPECT_THAT(route(GetParam(), problem).expert, ElementsAre(0, -1, 2, 3));
  problem.price[1] = 0.46F;
  EXPECT_THAT(route(GetParam(), problem).expert, ElementsAre(0, 1, 2, 3));
}

TEST_P(TopkRouteModelsTest, AnExpertChosenForItsBiasLooksFreeOnlyInUnbiasedLosses) {
  // Both tokens pick 0 and 2 by p + beta; 1 runs for neither. In p alone 2 adds 0.1 of 0.6.
  RouteProblem problem = sigmoid_token({0.5, 0.3, 0.1}, 2);
  problem.model_bias = {0.0F, 0.0F, 0.4F};
  problem.price = {0.0F, 0.0F, 0.5F};
  EXPECT_THAT(route(GetParam(), problem).expert, ElementsAre(0, -1));
  problem.loss_scores = LossScores::kBiased;  // 0.5 of 0.6
  EXPECT_THAT(route(GetParam(), problem).expert, ElementsAre(0, 2));
  problem.price[2] = 0.9F;
  EXPECT_THAT(route(GetParam(), problem).expert, ElementsAre(0, -1));
}

TEST_P(TopkRouteModelsTest, TheDenominatorSaysWhatADroppedPickIsWorth) {
  RouteProblem problem = sigmoid_token({0.5, 0.3, 0.2}, 3);
  problem.price.assign(3, kInf);
  problem.k_min = 2;
  problem.scale = 2.0;
  const auto weights = [&](WeightDenominator denominator) {
    problem.denominator = denominator;
    return route(GetParam(), problem).weight;
  };
  EXPECT_THAT(weights(WeightDenominator::kPicked),
              ElementsAre(FloatNear(1.25F, 1e-6F), FloatNear(0.75F, 1e-6F), 0.0F));
  EXPECT_THAT(weights(WeightDenominator::kReference),
              ElementsAre(FloatNear(1.0F, 1e-6F), FloatNear(0.6F, 1e-6F), 0.0F));
  EXPECT_THAT(weights(WeightDenominator::kNone),
              ElementsAre(FloatNear(1.0F, 1e-6F), FloatNear(0.6F, 1e-6F), 0.0F));
  problem.logits = {0, 0, 0};  // p = 1/2 each: reference and none part
  EXPECT_THAT(weights(WeightDenominator::kReference),
              ElementsAre(FloatNear(2.0F / 3, 1e-6F), FloatNear(2.0F / 3, 1e-6F), 0.0F));
  EXPECT_THAT(weights(WeightDenominator::kNone), ElementsAre(1.0F, 1.0F, 0.0F));
}

TEST_P(TopkRouteModelsTest, AReducedKIsMeasuredAndPricedAgainstTheModelsOwn) {
  RouteProblem problem = sigmoid_token({0.4, 0.3, 0.2, 0.1}, 4);
  problem.plan_k = 2;
  problem.denominator = WeightDenominator::kReference;
  RouteResult result = route(GetParam(), problem);
  EXPECT_THAT(result.expert, ElementsAre(0, 1));
  EXPECT_NEAR(result.kept_mass[0], 0.7, 1e-6);
  EXPECT_NEAR(result.weight[0], 0.4, 1e-6);
  problem.price = {0.0F, 0.29F, 0.0F, 0.0F};  // 0.3 of the model's 1.0, not of 0.7
  EXPECT_THAT(route(GetParam(), problem).expert, ElementsAre(0, 1));
  problem.price[1] = 0.31F;
  EXPECT_THAT(route(GetParam(), problem).expert, ElementsAre(0, -1));
}

TEST_P(TopkRouteModelsTest, SqrtSoftplusHoldsFromTheSmallestToTheLargestLogit) {
  RouteProblem problem{.tokens = 1,
                       .experts = 8,
                       .k = 8,
                       .score = ScoreFunction::kSqrtSoftplus,
                       .denominator = WeightDenominator::kNone,
                       .logits{1e30F, 100, 20, 1, 0, -1, -20, -80}};
  const RouteResult result = route(GetParam(), problem);
  for (int i = 0; i < 8; ++i) {
    const double x = problem.logits[i];
    const double p = std::sqrt(x > 50 ? x : std::log1p(std::exp(x)));
    EXPECT_NEAR(result.weight[i] / p, 1.0, 1e-6) << "logit " << x;
  }
  problem.denominator = WeightDenominator::kPicked;
  problem.logits = {kInf, 5, -kInf, 1, 0, kNan, 2, kInf};
  EXPECT_THAT(route(GetParam(), problem).weight,
              ElementsAre(0.5F, 0.5F, FloatNear(0, 1e-6F), FloatNear(0, 1e-6F), FloatNear(0, 1e-6F),
                          FloatNear(0, 1e-6F), 0.0F, 0.0F));
}

TEST_P(TopkRouteModelsTest, PaddingIsNoPartOfTheBatch) {
  std::mt19937 random(3);
  RouteProblem padded{.tokens = 24, .experts = 64, .k = 6};
  fill_logits(padded, random, false);
  padded.price.assign(64, 0.12F);
  RouteProblem alone = padded;
  alone.tokens = 16;
  alone.logits.resize(16 * 64);
  padded.step.valid_tokens = 16;
  for (int i = 16 * 64; i < 24 * 64; ++i) padded.logits[i] = i % 2 ? kNan : 9.0F;
  const RouteResult with = route(GetParam(), padded);
  const RouteResult without = route(GetParam(), alone);
  EXPECT_EQ(with.counts, without.counts);
  EXPECT_TRUE(std::equal(without.expert.begin(), without.expert.end(), with.expert.begin()));
  EXPECT_TRUE(std::equal(without.weight.begin(), without.weight.end(), with.weight.begin()));
  for (std::size_t i = 16 * 6; i < with.expert.size(); ++i) {
    ASSERT_EQ(with.expert[i], -1);
    ASSERT_EQ(with.weight[i], 0.0F);
  }
}

TEST_P(TopkRouteModelsTest, FilledSlotsRunNoExpertThatNoTokenPicked) {
  RouteProblem problem{
      .tokens = 4, .experts = 5, .k = 3, .logits{0,    0,    9,    8,    7,    0, 0, 8, 9, 7,
                                                 kNan, kNan, kNan, kNan, kNan, 9, 9, 9, 9, 9}};
  problem.price.assign(5, kInf);
  problem.fill_slots = true;
  problem.step.valid_tokens = 3;
  const RouteResult result = route(GetParam(), problem);
  EXPECT_THAT(result.expert, ElementsAre(2, 3, 2, 3, 2, 3, 2, 2, 2, 2, 2, 2));
  EXPECT_THAT(result.counts, ElementsAre(0, 0, 2, 2, 0));
  for (const int slot : {2, 5, 6, 7, 8, 9, 10, 11}) EXPECT_EQ(result.weight[slot], 0.0F);
  problem.step.valid_tokens = 0;
  EXPECT_THAT(route(GetParam(), problem).expert, Each(0));
}

/// What an engine that routes for itself takes of a row: the k largest, softmax over them.
std::vector<std::pair<int, double>> engines_picks(const float* row, int experts, int k) {
  std::vector<int> ids(experts);
  std::iota(ids.begin(), ids.end(), 0);
  std::stable_sort(ids.begin(), ids.end(), [row](int a, int b) { return row[a] > row[b]; });
  double sum = 0.0;
  for (int i = 0; i < k; ++i) sum += std::exp(double{row[ids[i]]} - row[ids[0]]);
  std::vector<std::pair<int, double>> picks;
  for (int i = 0; i < k; ++i) {
    picks.emplace_back(ids[i], std::exp(double{row[ids[i]]} - row[ids[0]]) / sum);
  }
  return picks;
}

TEST_P(TopkRouteModelsTest, AnEnginesOwnTopKOverMaskedLogitsRunsWhatThePlanRuns) {
  std::mt19937 random(4);
  RouteProblem problem{.tokens = 20, .experts = 128, .k = 8, .groups = 8, .groups_kept = 2};
  fill_logits(problem, random, false);
  problem.price.assign(128, 0.4F);
  problem.step.valid_tokens = 16;
  const RouteResult result = route(GetParam(), problem);
  std::set<int> runs;
  int short_tokens = 0;
  for (int t = 0; t < 20; ++t) {
    const auto picks = engines_picks(result.masked_logits.data() + t * 128, 128, 8);
    for (int i = 0; i < 8; ++i) {
      runs.insert(picks[i].first);
      const int ours = result.expert[t * 8 + i];
      ASSERT_TRUE(ours < 0 || picks[i].first == ours) << "token " << t << " slot " << i;
      ASSERT_TRUE(t >= 16 || std::abs(picks[i].second - result.weight[t * 8 + i]) < 1e-6);
    }
    short_tokens += t < 16 && result.expert[t * 8 + 7] < 0;
  }
  EXPECT_GT(short_tokens, 0);
  EXPECT_LT(result.active(), 100);
  EXPECT_EQ(static_cast<int>(runs.size()), result.active());
}

TEST_P(TopkRouteModelsTest, AMaskedLogitIsFiniteAndBelowEveryChosenOne) {
  RouteProblem problem{.tokens = 1, .experts = 4, .k = 2, .logits{-kInf, 1, kNan, -kInf}};
  const RouteResult result = route(GetParam(), problem);
  EXPECT_THAT(result.masked_logits,
              ElementsAre(kMaskedLogit / 4, 1.0F, kMaskedLogit, kMaskedLogit));
}

/// Keep-k0-fill-from-union, said as its authors do, over a softmax router.
std::vector<std::vector<int>> keep_and_fill(const RouteProblem& problem) {
  std::vector<std::vector<int>> ranked;
  std::set<int> runs;
  for (int t = 0; t < problem.tokens; ++t) {
    const float* row = problem.logits.data() + static_cast<std::ptrdiff_t>(t) * problem.experts;
    std::vector<int> ids(problem.experts);
    std::iota(ids.begin(), ids.end(), 0);
    std::stable_sort(ids.begin(), ids.end(), [row](int a, int b) { return row[a] > row[b]; });
    runs.insert(ids.begin(), ids.begin() + problem.k_min_of(t));
    ranked.push_back(ids);
  }
  for (auto& ids : ranked) {
    std::erase_if(ids, [&](int e) { return !runs.contains(e); });
    ids.resize(std::min<std::size_t>(ids.size(), problem.k));
  }
  return ranked;
}

TEST_P(TopkRouteModelsTest, InfinitePricesKeepEachTokensBestAndFillFromTheUnion) {
  std::mt19937 random(9);
  for (const int tokens : {4, 16, 40}) {
    RouteProblem problem{.tokens = tokens, .experts = 128, .k = 8};
    fill_logits(problem, random, tokens == 40);
    problem.price.assign(128, kInf);
    problem.k_min = 2;
    problem.extra_k_min_share = 0.4F;
    const auto expected = keep_and_fill(problem);
    const RouteResult result = route(GetParam(), problem);
    for (int t = 0; t < tokens; ++t) {
      for (int i = 0; i < 8; ++i) {
        const bool used = i < static_cast<int>(expected[t].size());
        ASSERT_EQ(result.expert[t * 8 + i], used ? expected[t][i] : -1) << "token " << t;
      }
    }
    // One finite price that no loss reaches takes the long way to the same end.
    problem.price[5] = 1e9F;
    EXPECT_EQ(route(GetParam(), problem), result);
  }
}

}  // namespace
}  // namespace thermoe
