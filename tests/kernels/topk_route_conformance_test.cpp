// SPDX-License-Identifier: Apache-2.0
// topk_route against the float64 oracle: random problems, and every size that released models have.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/aligned_vector.h"
#include "topk_route_problems.h"

namespace thermoe {
namespace {

constexpr int kTokens[] = {0, 1, 16, 17, 64};
constexpr int kExperts[] = {8, 60, 96, 128, 160, 256, 384, 512};

class TopkRouteConformanceTest : public ::testing::TestWithParam<KernelBackend> {};
INSTANTIATE_TEST_SUITE_P(TopkRouteConformance, TopkRouteConformanceTest,
                         ::testing::ValuesIn(kernel_backends()), BackendName());

TEST_P(TopkRouteConformanceTest, MatchesTheOracleOnRandomProblems) {
  std::mt19937 random(20240607);
  int compared = 0;
  for (int i = 0; i < 2000; ++i) {
    const RouteProblem problem = random_problem(random);
    // A decision closer than float32 can tell is no error either way.
    if (route_oracle(problem).smallest_margin() < kRounding) continue;
    SCOPED_TRACE(testing::Message() << "problem " << i);
    expect_matches_oracle(GetParam(), problem);
    if (HasFatalFailure()) return;
    ++compared;
  }
  EXPECT_GT(compared, 1000);
}

/// A router of each kind over these sizes: by the turn, every score, type, denominator and k.
RouteProblem sized(int tokens, int experts, int turn, std::mt19937& random) {
  RouteProblem problem{.tokens = tokens, .experts = experts, .k = std::min(1 + turn % 10, experts)};
  problem.score = static_cast<ScoreFunction>(turn % 3);
  problem.type = static_cast<FloatType>(turn / 3 % 3);
  problem.denominator = static_cast<WeightDenominator>(turn / 2 % 3);
  fill_logits(problem, random, false);
  if (turn % 2 == 1) {
    problem.model_bias.resize(experts);
    for (float& b : problem.model_bias) b = static_cast<float>(pick(random, -8, 8)) / 128.0F;
  }
  return problem;
}

TEST_P(TopkRouteConformanceTest, EverySizeOfRouterMatchesTheOracle) {
  std::mt19937 random(5);
  int turn = 0;
  int tokens = 0;
  int skipped = 0;
  for (const int t : kTokens) {
    for (const int e : kExperts) {
      for (int kind = 0; kind < 4; ++kind) {
        const RouteProblem problem = sized(t, e, turn++, random);
        SCOPED_TRACE(testing::Message() << t << " tokens, " << e << " experts, turn " << turn);
        tokens += t;
        expect_matches_oracle(GetParam(), problem, &skipped);
        if (HasFatalFailure()) return;
      }
    }
  }
  EXPECT_LT(skipped, tokens / 50);
}

TEST_P(TopkRouteConformanceTest, EverySizeOfPricedRouterMatchesTheOracle) {
  std::mt19937 random(6);
  int turn = 0;
  int compared = 0;
  for (const int t : kTokens) {
    for (const int e : kExperts) {
      for (int kind = 0; kind < 2; ++kind) {
        RouteProblem problem = sized(t, e, turn++, random);
        problem.model_bias.clear();
        for (int i = 0; i < e; ++i) problem.price.push_back(static_cast<float>(i % 3) * 0.07F);
        if (route_oracle(problem).smallest_margin() < kRounding) continue;
        SCOPED_TRACE(testing::Message() << t << " tokens, " << e << " experts, turn " << turn);
        expect_matches_oracle(GetParam(), problem);
        if (HasFatalFailure()) return;
        ++compared;
      }
    }
  }
  EXPECT_GT(compared, 40);
}

TEST_P(TopkRouteConformanceTest, APrefillOfThousandsOfTokensMatchesTheOracle) {
  std::mt19937 random(7);
  for (const int e : {8, 60, 128, 512}) {
    int skipped = 0;
    RouteProblem problem = sized(4096, e, e == 128 ? 5 : 1, random);
    expect_matches_oracle(GetParam(), problem, &skipped);
    EXPECT_LT(skipped, 100);
    if (HasFatalFailure()) return;
  }
  RouteProblem priced{.tokens = 4096, .experts = 60, .k = 4};
  fill_logits(priced, random, true);
  priced.price.assign(60, std::numeric_limits<float>::infinity());
  priced.price[3] = 1.5F;
  ASSERT_GT(route_oracle(priced).price_margin, 1e-3);
  expect_matches_oracle(GetParam(), priced);
}

TEST_P(TopkRouteConformanceTest, GroupLimitedRoutersMatchTheOracle) {
  struct Shape {
    int experts, k, groups, kept;
  };
  std::mt19937 random(8);
  int skipped = 0;
  int tokens = 0;
  // DeepSeek-V3; its group alone; one group kept; groups of one expert; of no whole vector.
  for (const Shape s : {Shape{256, 8, 8, 4}, Shape{256, 8, 1, 1}, Shape{128, 6, 8, 1},
                        Shape{8, 3, 8, 5}, Shape{160, 8, 16, 3}, Shape{60, 4, 6, 2}}) {
    for (int turn = 0; turn < 12; ++turn) {
      for (const int t : {1, 16, 17, 64}) {
        RouteProblem problem = sized(t, s.experts, turn, random);
        problem.k = s.k;
        problem.groups = s.groups;
        problem.groups_kept = s.kept;
        problem.scale = 2.5;
        SCOPED_TRACE(testing::Message() << s.groups << " groups, turn " << turn);
        expect_matches_oracle(GetParam(), problem, &skipped);
        if (HasFatalFailure()) return;
        tokens += t;
      }
    }
  }
  EXPECT_LT(skipped, tokens / 20);
}

TEST_P(TopkRouteConformanceTest, SixteenBitLogitsAreWidenedExactly) {
  // All 65536 of them, each picked: masked logits give back what was picked.
  for (const FloatType type : {FloatType::kBf16, FloatType::kF16}) {
    std::vector<std::uint16_t> bits(1 << 16);
    for (std::size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<std::uint16_t>(i);
    const RouterSpec router{.experts = kMaxExperts, .k = kMaxExperts};
    const int tokens = static_cast<int>(bits.size()) / kMaxExperts;
    std::vector<std::int32_t> expert(bits.size());
    std::vector<std::int32_t> counts(kMaxExperts);
    std::vector<float> weight(bits.size());
    std::vector<float> masked(bits.size());
    AlignedVector<std::byte> workspace(
        topk_route_workspace(Backend::kCpu, RouterView(router, nullptr), tokens, kMaxExperts));
    GetParam().topk_route({.logits = type == FloatType::kBf16 ? GateLogits::bf16(bits.data())
                                                              : GateLogits::f16(bits.data()),
                           .tokens = tokens,
                           .router = RouterView(router, nullptr),
                           .expert = expert.data(),
                           .weight = weight.data(),
                           .slots = kMaxExperts,
                           .counts = counts.data(),
                           .masked_logits = masked.data(),
                           .workspace = workspace.data(),
                           .workspace_size = workspace.size()});
    const int exponent_bits = type == FloatType::kBf16 ? 8 : 5;
    const int digits = 15 - exponent_bits;
    const int largest = (1 << exponent_bits) - 1;
    for (int i = 0; i < 1 << 16; ++i) {
      const int exponent = i >> digits & largest;
      const int fraction = i & ((1 << digits) - 1);
      if (exponent == largest && fraction != 0) {  // NaN: of an expert that others run, or none
        ASSERT_LE(masked[i], kMaskedLogit / 2);
        continue;
      }
      double value = exponent == largest ? std::numeric_limits<double>::infinity()
                                         : std::ldexp(fraction + (exponent ? 1 << digits : 0),
                                                      std::max(exponent, 1) - largest / 2 - digits);
      if (i >> 15) value = -value;
      ASSERT_EQ(masked[i], std::max(static_cast<float>(value), kMaskedLogit / 4)) << "bits " << i;
    }
  }
}

}  // namespace
}  // namespace thermoe
