// SPDX-License-Identifier: Apache-2.0
#include "topk_route_problems.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace thermoe {
namespace {

/// Groups that divide the experts and hold k.
void limit_to_groups(RouteProblem& problem, std::mt19937& random) {
  std::vector<int> divisors;
  for (int g = 1; g <= problem.experts; ++g) {
    if (problem.experts % g == 0) divisors.push_back(g);
  }
  problem.groups = divisors[random() % divisors.size()];
  const int size = problem.experts / problem.groups;
  problem.groups_kept = pick(random, (problem.k + size - 1) / size, problem.groups);
}

void take_own_ks(RouteProblem& problem, std::mt19937& random) {
  if (pick(random, 0, 3) == 0) problem.plan_k = pick(random, 1, problem.experts);
  problem.k_min = pick(random, 1, problem.plan_k.value_or(problem.k));
  problem.layer = pick(random, 0, 3);
  problem.step.step = random();
  const auto share = [&random] { return static_cast<float>(pick(random, 1, 16)) / 16.0F; };
  if (random() % 3 == 0) problem.extra_k_share = share();
  if (random() % 3 == 0) problem.extra_k_min_share = share();
}

void damage(RouteProblem& problem, std::mt19937& random) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  for (float& x : problem.logits) {
    const int fate = pick(random, 0, 19);
    if (fate == 0) x = std::numeric_limits<float>::quiet_NaN();
    if (fate == 1) x = -kInf;
  }
}

}  // namespace

int pick(std::mt19937& random, int low, int high) {
  return std::uniform_int_distribution<int>(low, high)(random);
}

void fill_logits(RouteProblem& problem, std::mt19937& random, bool grid) {
  std::normal_distribution<float> normal(0.0F, 1.5F);
  // 1/16 and less than 8 fits the digits of bf16, 1/128 those of f16.
  const float steps = grid ? 1.0F : problem.type == FloatType::kBf16 ? 16.0F : 128.0F;
  problem.logits.resize(static_cast<std::size_t>(problem.tokens) * problem.experts);
  for (float& x : problem.logits) {
    x = std::clamp(normal(random), -7.0F, 7.0F);
    if (grid || problem.type != FloatType::kF32) x = std::round(x * steps) / steps;
  }
}

RouteProblem random_problem(std::mt19937& random) {
  static constexpr int kExpertCounts[] = {1, 2, 7, 8, 16, 33, 60, 96, 128};
  RouteProblem problem;
  problem.tokens = pick(random, 0, 20);
  problem.experts = kExpertCounts[pick(random, 0, 8)];
  problem.k = pick(random, 1, std::min(problem.experts, 10));
  problem.score = static_cast<ScoreFunction>(pick(random, 0, 2));
  problem.denominator = static_cast<WeightDenominator>(pick(random, 0, 2));
  problem.loss_scores = static_cast<LossScores>(pick(random, 0, 1));
  problem.type = static_cast<FloatType>(std::max(0, pick(random, -1, 2)));
  problem.scale = pick(random, 0, 1) ? 1.0 : 2.5;
  problem.fill_slots = pick(random, 0, 3) == 0;
  if (pick(random, 0, 3) == 0) problem.step.valid_tokens = pick(random, 0, problem.tokens);
  take_own_ks(problem, random);
  fill_logits(problem, random, pick(random, 0, 2) == 0);
  if (pick(random, 0, 3) == 0) damage(problem, random);
  if (pick(random, 0, 2) == 0) limit_to_groups(problem, random);
  const auto fill = [&](std::vector<float>& v, float low, float high) {
    v.resize(problem.experts);
    for (float& x : v) x = std::uniform_real_distribution<float>(low, high)(random);
  };
  if (pick(random, 0, 1)) fill(problem.bias, 0.0F, 0.3F);
  if (pick(random, 0, 1)) fill(problem.price, 0.0F, 0.6F);
  if (pick(random, 0, 2) == 0) fill(problem.model_bias, -0.1F, 0.1F);
  if (pick(random, 0, 3) == 0) {
    problem.price.assign(problem.experts, std::numeric_limits<float>::infinity());
  }
  return problem;
}

namespace {

void expect_row(const RouteProblem& problem, const RouteOracle& oracle, const RouteResult& result,
                int t, int lowest_active) {
  const std::vector<int>& picks = oracle.picks[t];
  const int filling = picks.empty() ? lowest_active : picks[0];
  for (int i = 0; i < problem.slots(); ++i) {
    const auto at = static_cast<std::size_t>(t) * problem.slots() + i;
    const bool used = i < static_cast<int>(picks.size());
    ASSERT_EQ(result.expert[at], used                 ? picks[i]
                                 : problem.fill_slots ? filling
                                                      : -1)
        << "token " << t << " slot " << i;
    const double weight = used ? oracle.weight[t][i] : 0.0;
    ASSERT_NEAR(result.weight[at], weight, 2e-6 * std::max(1.0, weight)) << "token " << t;
  }
  ASSERT_NEAR(result.kept_mass[t], oracle.kept_mass[t], 2e-6) << "token " << t;
}

void expect_masked_row(const RouteProblem& problem, const RouteOracle& oracle,
                       const RouteResult& result, int t) {
  const std::size_t row = static_cast<std::size_t>(t) * problem.experts;
  for (int e = 0; e < problem.experts; ++e) {
    const bool chosen = std::ranges::count(oracle.picks[t], e) > 0;
    const float expected = chosen ? std::max(problem.logits[row + e], kMaskedLogit / 4)
                           : result.counts[e] > 0 ? kMaskedLogit / 2
                                                  : kMaskedLogit;
    ASSERT_EQ(result.masked_logits[row + e], expected) << "token " << t << " expert " << e;
  }
}

}  // namespace

void expect_matches_oracle(const KernelBackend& backend, const RouteProblem& problem,
                           int* skipped) {
  const RouteOracle oracle = route_oracle(problem);
  const RouteResult result = route(backend, problem);
  std::vector<int> counts(problem.experts, 0);
  for (const auto& picks : oracle.picks) {
    for (const int e : picks) ++counts[e];
  }
  const auto first = std::ranges::find_if(counts, [](int n) { return n > 0; });
  const int lowest = first == counts.end() ? 0 : static_cast<int>(first - counts.begin());
  bool close = false;
  for (int t = 0; t < problem.tokens; ++t) {
    if (skipped && oracle.margin[t] < kRounding) {
      close = true;
      ++*skipped;
      continue;
    }
    expect_row(problem, oracle, result, t, lowest);
    expect_masked_row(problem, oracle, result, t);
    if (testing::Test::HasFatalFailure()) return;
  }
  if (!close) {
    ASSERT_EQ(result.counts, counts);
  }
}

}  // namespace thermoe
