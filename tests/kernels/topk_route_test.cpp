// SPDX-License-Identifier: Apache-2.0
#include "kernels/topk_route.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>
#include <numeric>
#include <random>

#include "core/errors.h"
#include "kernels/aligned_vector.h"
#include "topk_route_oracle.h"
#include "topk_route_problems.h"

namespace thermoe {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::FloatNear;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

class TopkRouteTest : public ::testing::TestWithParam<KernelBackend> {};
INSTANTIATE_TEST_SUITE_P(TopkRoute, TopkRouteTest, ::testing::ValuesIn(kernel_backends()),
                         BackendName());

RouteProblem one_token(std::vector<float> logits, int k) {
  const auto experts = static_cast<int>(logits.size());
  return {.tokens = 1, .experts = experts, .k = k, .logits = std::move(logits)};
}

TEST_P(TopkRouteTest, TiesGoToTheLowestId) {
  const RouteResult result = route(GetParam(), one_token(std::vector<float>(40, 0.5F), 3));
  EXPECT_THAT(result.expert, ElementsAre(0, 1, 2));
  EXPECT_THAT(result.weight, Each(FloatNear(1.0F / 3, 1e-6F)));
}

TEST_P(TopkRouteTest, AnEmptyBatchHasNoCounts) {
  const RouteResult result =
      route(GetParam(), {.tokens = 0, .experts = 5, .k = 2, .price{1, 1, 1, 1, 1}});
  EXPECT_THAT(result.counts, Each(0));
}

TEST_P(TopkRouteTest, NanLogitsAreNeverPicked) {
  const RouteResult result = route(GetParam(), one_token({1.0F, kNan, 3.0F, kNan}, 3));
  EXPECT_THAT(result.expert, ElementsAre(2, 0, -1));
  EXPECT_NEAR(result.weight[0] + result.weight[1], 1.0F, 1e-6F);
  EXPECT_EQ(result.weight[2], 0.0F);
}

TEST_P(TopkRouteTest, ATokenOfNothingButNanGetsEmptySlotsAndTheOthersTheirExperts) {
  RouteProblem problem{.tokens = 2, .experts = 3, .k = 2, .logits{kNan, kNan, kNan, 1, 2, 3}};
  for (const auto& price : {std::vector<float>{}, std::vector<float>{0.1F, 0.1F, 0.1F}}) {
    problem.price = price;
    const RouteResult result = route(GetParam(), problem);
    EXPECT_THAT(result.expert, ElementsAre(-1, -1, 2, 1));
    EXPECT_EQ(result.weight[0], 0.0F);
    EXPECT_EQ(result.kept_mass[0], 1.0F);
    EXPECT_THAT(result.counts, ElementsAre(0, 1, 1));
  }
}

TEST_P(TopkRouteTest, PlusInfinityTakesAllTheMass) {
  const RouteResult result = route(GetParam(), one_token({5, kInf, 7, kInf, 2}, 3));
  EXPECT_THAT(result.expert, ElementsAre(1, 3, 2));
  EXPECT_THAT(result.weight, ElementsAre(0.5F, 0.5F, 0.0F));
}

TEST_P(TopkRouteTest, LogitsThatShareAProbabilityAreStillToldApart) {
  const RouteResult result = route(GetParam(), one_token({-500, 0, -kInf, -400, -300, -300}, 5));
  EXPECT_THAT(result.expert, ElementsAre(1, 4, 5, 3, 0));
  EXPECT_THAT(result.weight, ElementsAre(1.0F, 0.0F, 0.0F, 0.0F, 0.0F));
}

TEST_P(TopkRouteTest, MinusZeroTiesWithZero) {
  EXPECT_THAT(route(GetParam(), one_token({-1.0F, -0.0F, 0.0F, -0.0F}, 3)).expert,
              ElementsAre(1, 2, 3));
}

TEST_P(TopkRouteTest, ABatchOfManyTokensRoutesEachAsIfItWereAlone) {
  std::mt19937 random(29);
  std::normal_distribution<float> normal;
  RouteProblem all{.tokens = 37, .experts = 100, .k = 8};
  for (int i = 0; i < 37 * 100; ++i) {
    // Tokens on a coarse grid, full of ties, beside others; some NaN.
    const float x = i / 100 % 2 == 0 ? normal(random) : std::round(normal(random));
    all.logits.push_back(i % 61 == 0 ? kNan : x);
  }
  const RouteResult together = route(GetParam(), all);
  for (int t = 0; t < all.tokens; ++t) {
    const auto row = all.logits.begin() + t * 100;
    const RouteResult alone = route(GetParam(), one_token({row, row + 100}, 8));
    EXPECT_TRUE(std::equal(alone.expert.begin(), alone.expert.end(), &together.expert[t * 8]));
    EXPECT_TRUE(std::equal(alone.weight.begin(), alone.weight.end(), &together.weight[t * 8]));
  }
}

TEST_P(TopkRouteTest, MinusInfinityIsPickedLastAndWeighsNothing) {
  const RouteResult result = route(GetParam(), one_token({-kInf, 1, -kInf}, 2));
  EXPECT_THAT(result.expert, ElementsAre(1, 0));
  EXPECT_THAT(result.weight, ElementsAre(1.0F, 0.0F));
}

TEST_P(TopkRouteTest, ARowOfMinusInfinityIsSharedEqually) {
  for (const auto score :
       {ScoreFunction::kSoftmax, ScoreFunction::kSigmoid, ScoreFunction::kSqrtSoftplus}) {
    RouteProblem problem = one_token({-kInf, -kInf, -kInf}, 2);
    problem.score = score;
    const RouteResult result = route(GetParam(), problem);
    EXPECT_THAT(result.expert, ElementsAre(0, 1));
    EXPECT_THAT(result.weight, ElementsAre(0.5F, 0.5F));
  }
}

TEST_P(TopkRouteTest, HugeLogitsNeitherOverflowNorVanish) {
  const float huge = std::numeric_limits<float>::max();
  const RouteResult high = route(GetParam(), one_token({huge, -huge, huge, 1e30F}, 2));
  EXPECT_THAT(high.expert, ElementsAre(0, 2));
  EXPECT_THAT(high.weight, ElementsAre(0.5F, 0.5F));
  const RouteResult apart = route(GetParam(), one_token({1000, 1001, 900}, 2));
  EXPECT_THAT(apart.expert, ElementsAre(1, 0));
  EXPECT_NEAR(apart.weight[0], 1.0 / (1.0 + std::exp(-1.0)), 1e-6);
}

TEST_P(TopkRouteTest, EveryExpertCanBePicked) {
  RouteProblem problem{.tokens = 3, .experts = 50, .k = 50};
  std::mt19937 random(3);
  for (int i = 0; i < 150; ++i) problem.logits.push_back(static_cast<float>(pick(random, -9, 9)));
  expect_matches_oracle(GetParam(), problem);
}

TEST_P(TopkRouteTest, OneExpertTakesEverything) {
  const RouteResult result =
      route(GetParam(), {.tokens = 2, .experts = 1, .k = 1, .logits{-3, 9}, .price{0.5F}});
  EXPECT_THAT(result.expert, ElementsAre(0, 0));
  EXPECT_THAT(result.weight, ElementsAre(1.0F, 1.0F));
  EXPECT_THAT(result.counts, ElementsAre(2));
}

TEST_P(TopkRouteTest, AThousandExpertsMatchTheOracle) {
  RouteProblem problem{.tokens = 4, .experts = kMaxExperts, .k = 12};
  // A permutation of well separated logits: no near ties in float32.
  for (int i = 0; i < 4 * kMaxExperts; ++i) {
    problem.logits.push_back(static_cast<float>(i * 389 % kMaxExperts) * 0.01F);
  }
  expect_matches_oracle(GetParam(), problem);
}

/// Bytes of stack that a thread needs to run `body`.
std::size_t stack_of(const std::function<void()>& body) {
  constexpr std::size_t kSize = 2 << 20;
  constexpr auto kPaint = std::byte{0xA5};
  AlignedVector<std::byte> stack(kSize, kPaint);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  EXPECT_EQ(pthread_attr_setstack(&attributes, stack.data(), kSize), 0);
  pthread_t thread{};
  const auto run = [](void* f) -> void* {
    (*static_cast<const std::function<void()>*>(f))();
    return nullptr;
  };
  void* argument = const_cast<std::function<void()>*>(&body);
  EXPECT_EQ(pthread_create(&thread, &attributes, run, argument), 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
  const auto touched = std::ranges::find_if(stack, [](std::byte b) { return b != kPaint; });
  return static_cast<std::size_t>(stack.end() - touched);
}

// Threads of embedding programs may have 128 KiB (musl) or less.
TEST_P(TopkRouteTest, ALargeLayerNeedsLittleStack) {
#if !defined(__OPTIMIZE__) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "without optimisation, or with a sanitizer, frames are many times as large";
#endif
  RouteProblem problem{.tokens = 256, .experts = kMaxExperts, .k = 8, .k_min = 1};
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  for (int i = 0; i < 256 * kMaxExperts; ++i) problem.logits.push_back(normal(random));
  problem.bias.assign(kMaxExperts, 0.01F);
  problem.bias[3] = 0.0F;
  problem.price.assign(kMaxExperts, 0.1F);
  const std::size_t thread_alone = stack_of([] {});
  const std::size_t with_routing = stack_of([&] { route(GetParam(), problem); });
  EXPECT_LT(with_routing - thread_alone, 16U << 10);
  EXPECT_LT(with_routing, 64U << 10);
}

TEST_P(TopkRouteTest, BatchesRouteAsByAsManyCalls) {
  std::mt19937 random(12);
  RouteProblem problem{.tokens = 6, .experts = 40, .k = 4};
  problem.extra_k_share = 0.4F;
  problem.price.assign(40, 0.1F);
  const int slots = problem.slots();
  std::vector<float> logits;
  std::vector<RouteResult> alone;
  for (std::uint64_t step = 5; step < 8; ++step) {
    fill_logits(problem, random, false);
    problem.step.step = step;
    logits.insert(logits.end(), problem.logits.begin(), problem.logits.end());
    alone.push_back(route(GetParam(), problem));
  }
  std::vector<std::int32_t> expert(3 * 6 * slots);
  std::vector<float> weight(expert.size());
  std::vector<float> kept(3 * 6);
  std::vector<std::int32_t> counts(3 * 40);
  const StepState first{.step = 5};
  const LayerPlan row{.k = 4, .k_min = 1, .extra_k_share = 0.4F};
  AlignedVector<std::byte> workspace(
      topk_route_workspace(Backend::kCpu, RouterView(problem.router(), nullptr), 6, slots));
  GetParam().topk_route({.logits = logits.data(),
                         .tokens = 6,
                         .batches = 3,
                         .router = RouterView(problem.router(), nullptr),
                         .plan = {.row = &row, .activation_price = problem.price.data()},
                         .step = &first,
                         .expert = expert.data(),
                         .weight = weight.data(),
                         .slots = slots,
                         .counts = counts.data(),
                         .kept_mass = kept.data(),
                         .workspace = workspace.data(),
                         .workspace_size = workspace.size()});
  const auto part = [](const auto& all, int b) {
    const auto size = static_cast<std::ptrdiff_t>(all.size() / 3);
    return std::vector(all.begin() + b * size, all.begin() + (b + 1) * size);
  };
  for (int b = 0; b < 3; ++b) {
    EXPECT_EQ(part(expert, b), alone[b].expert);
    EXPECT_EQ(part(weight, b), alone[b].weight);
    EXPECT_EQ(part(kept, b), alone[b].kept_mass);
    EXPECT_EQ(part(counts, b), alone[b].counts);
  }
}

TEST_P(TopkRouteTest, TheOrderListsEachExpertsPicksInTurn) {
  std::mt19937 random(13);
  RouteProblem problem = random_problem(random);
  for (int i = 0; i < 50; ++i, problem = random_problem(random)) {
    const RouteResult result = route(GetParam(), problem);
    int at = 0;
    for (int e = 0; e < problem.experts; ++e) {
      ASSERT_EQ(result.first[e], at);
      for (int n = 0; n < problem.valid() * problem.slots(); ++n) {
        // A filled slot, which has no weight, is no pick.
        const bool picked =
            result.expert[n] == e && (result.weight[n] > 0.0F || !problem.fill_slots);
        if (picked) {
          ASSERT_EQ(result.pair[at++], n);
        }
      }
      if (!problem.fill_slots) {
        ASSERT_EQ(at, result.first[e] + result.counts[e]);
      }
      at = result.first[e] + result.counts[e];
    }
    ASSERT_EQ(result.first[problem.experts], at);
  }
}

TEST_P(TopkRouteTest, InPrefillNoExpertIsPricedOut) {
  std::mt19937 random(14);
  RouteProblem problem{.tokens = 16, .experts = 64, .k = 4};
  fill_logits(problem, random, false);
  const RouteResult baseline = route(GetParam(), problem);
  problem.price.assign(64, std::numeric_limits<float>::infinity());
  EXPECT_NE(route(GetParam(), problem), baseline);
  problem.step.phase = StepState::kPrefill;
  EXPECT_EQ(route(GetParam(), problem), baseline);
}

TEST_P(TopkRouteTest, EachTokenMayHaveItsOwnK) {
  const RouteResult result =
      route(GetParam(),
            {.tokens = 2, .experts = 3, .k = 1, .logits{1, 2, 3, 3, 2, 1}, .extra_k_share = 0.5F});
  EXPECT_THAT(result.expert, ElementsAre(2, -1, 0, 1));
  EXPECT_THAT(result.kept_mass, ElementsAre(1.0F, 1.0F));
}

TEST_P(TopkRouteTest, ABiasChangesTheSelectionButNotTheWeights) {
  RouteProblem problem = one_token({2.0F, 1.9F, 1.0F, 0.0F}, 2);
  problem.bias = {0.0F, 0.9F, 0.0F, 0.0F};
  problem.denominator = WeightDenominator::kNone;
  const RouteResult biased = route(GetParam(), problem);
  EXPECT_THAT(biased.expert, ElementsAre(0, 2));
  problem.bias.clear();
  problem.k = 3;
  const RouteResult plain = route(GetParam(), problem);
  EXPECT_EQ(biased.weight[0], plain.weight[0]);
  EXPECT_EQ(biased.weight[1], plain.weight[2]);
  EXPECT_LT(biased.kept_mass[0], 1.0F);
}

TEST_P(TopkRouteTest, ABiasedExpertLosesTokensAsItsBiasGrows) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  RouteProblem problem{.tokens = 64, .experts = 16, .k = 4, .bias = std::vector<float>(16)};
  for (int i = 0; i < 64 * 16; ++i) problem.logits.push_back(normal(random));
  const int before = route(GetParam(), problem).counts[3];
  int last = before;
  for (const float b : {0.02F, 0.05F, 0.1F, 0.3F, 2.0F}) {
    problem.bias[3] = b;
    const int now = route(GetParam(), problem).counts[3];
    EXPECT_LE(now, last) << "bias " << b;
    last = now;
  }
  EXPECT_GT(before, 0);
  EXPECT_EQ(last, 0);
}

TEST_P(TopkRouteTest, WeightsSumToOneAndCountsToThePickedSlots) {
  std::mt19937 random(11);
  for (int i = 0; i < 200; ++i) {
    RouteProblem problem = random_problem(random);
    problem.denominator = WeightDenominator::kPicked;
    problem.scale = 1.0;
    problem.step.valid_tokens = StepState::kAllTokens;
    problem.fill_slots = false;
    const RouteResult result = route(GetParam(), problem);
    std::int64_t picked = 0;
    for (int t = 0; t < problem.tokens; ++t) {
      double sum = 0.0;
      for (int s = 0; s < problem.slots(); ++s) {
        const auto at = static_cast<std::size_t>(t) * problem.slots() + s;
        sum += result.weight[at];
        picked += result.expert[at] >= 0;
      }
      const bool nothing = result.expert[static_cast<std::size_t>(t) * problem.slots()] < 0;
      EXPECT_NEAR(sum, nothing ? 0.0 : 1.0, 1e-5);
      EXPECT_GE(result.kept_mass[t], 0.0F);
      EXPECT_LE(result.kept_mass[t], 1.0F);
    }
    EXPECT_EQ(std::accumulate(result.counts.begin(), result.counts.end(), std::int64_t{0}), picked);
  }
}

TEST_P(TopkRouteTest, RefusesBadArguments) {
  const RouteProblem good{.tokens = 1, .experts = 3, .k = 2, .logits{1, 2, 3}};
  const auto refuses = [&](auto&& spoil) {
    RouteProblem bad = good;
    spoil(bad);
    EXPECT_THROW(route(GetParam(), bad), PreconditionError);
  };
  refuses([](RouteProblem& p) { p.k = 4; });
  refuses([](RouteProblem& p) { p.k = 0; });
  refuses([](RouteProblem& p) { p.experts = kMaxExperts + 1; });
  if (GetParam().reads_host_memory) {
    refuses([](RouteProblem& p) { p.plan_k = 4; });
    refuses([](RouteProblem& p) { p.step.valid_tokens = 2; });
    refuses([](RouteProblem& p) { p.step.valid_tokens = -2; });
  }
  refuses([](RouteProblem& p) { p.groups = 2; });
  refuses([](RouteProblem& p) { p.groups_kept = 2; });
  refuses([](RouteProblem& p) { p.groups = 3; });  // one expert holds no two picks
  refuses([](RouteProblem& p) { p.scale = 0.0; });
}

}  // namespace
}  // namespace thermoe
