// SPDX-License-Identifier: Apache-2.0
// Control foresees what a plan routes by its own evaluation, as it cannot see the kernels: the two
// must not drift apart.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <tuple>

#include "control/keep_and_fill.h"
#include "control/plan_writer.h"
#include "control/pricing.h"
#include "moe/adaptive_router.h"

namespace thermoe {
namespace {

constexpr int kLayers = 2, kTokens = 11, kExperts = 32, kK = 4;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Groups {
  int all, kept;
};
using Shape = std::tuple<ScoreFunction, Groups, bool, LossScores>;

/// Any router, random logits (a fifth of them -infinity), and both evaluations of a plan.
class RoutingAgreement : public testing::TestWithParam<Shape> {
 protected:
  RoutingAgreement() {
    const auto [score, groups, beta, losses] = GetParam();
    config_.router = {.experts = kExperts,
                      .k = kK,
                      .score = score,
                      .groups = groups.all,
                      .groups_kept = groups.kept,
                      .loss_scores = losses};
    if (!beta) return;
    const float spread = score == ScoreFunction::kSoftmax ? 0.02F : 0.2F;
    config_.router.selection_bias = drawn(std::normal_distribution<float>(0.0F, spread));
  }

  /// [layers, experts]
  template <class Distribution>
  std::vector<float> drawn(Distribution distribution) {
    std::vector<float> values(static_cast<std::size_t>(kLayers) * kExperts);
    std::generate(values.begin(), values.end(), [&] { return distribution(random_); });
    return values;
  }

  void draw_sample() {
    std::normal_distribution<float> normal(0.0F, 1.5F);
    std::bernoulli_distribution masked(0.2);
    sample_ = {.layers = kLayers, .tokens = kTokens, .experts = kExperts};
    sample_.logits.resize(static_cast<std::size_t>(kLayers) * kTokens * kExperts);
    for (float& x : sample_.logits) x = masked(random_) ? -kInfinity : normal(random_);
    utilities_ = std::make_shared<const Utilities>(sample_, config_.router);
  }

  /// Of the data plane, in the step from which both plans' shares of tokens start.
  RoutingStats routed(const RoutingPlan& plan) {
    RoutingStats stats{.layers = kLayers, .experts = kExperts, .tokens = kTokens};
    KeptMass kept;
    for (int l = 0; l < kLayers; ++l) {
      const LayerRouting layer = router().route(sample_.layer(l), kTokens, plan, l, 0);
      stats.counts.insert(stats.counts.end(), layer.counts.begin(), layer.counts.end());
      for (const float m : layer.kept_mass) kept.add(m);
    }
    stats.kept_mass = kept.mean();
    stats.quality_loss = kept.quality_loss();
    return stats;
  }

  void expect_foreseen(const RoutingStats& foreseen, const RoutingPlan& plan,
                       const std::string& what) {
    const RoutingStats is = routed(plan);
    ASSERT_EQ(foreseen.counts, is.counts) << what;
    ASSERT_NEAR(foreseen.kept_mass, is.kept_mass, 1e-5) << what;
    ASSERT_NEAR(foreseen.known_quality_loss(), *is.quality_loss, 1e-5) << what;
  }

  ControllerConfig config_{.layers = kLayers};
  std::mt19937 random_{31};
  LogitSample sample_;
  std::shared_ptr<const Utilities> utilities_;

 private:
  AdaptiveRouter& router() {
    if (!router_) router_.emplace(config_.router, kTokens);
    return *router_;
  }
  std::optional<AdaptiveRouter> router_{};
};

TEST_P(RoutingAgreement, OfBaselineAndFewerExperts) {
  for (int round = 0; round < 8; ++round) {
    draw_sample();
    const auto by_k = plain_loads(*utilities_);
    expect_foreseen(by_k.back(), baseline_plan_of(config_), fmt::format("round {}", round));
    for (int k = 1; k < kK; ++k) {
      expect_foreseen(by_k[k - 1], reduced_plan(config_, k), fmt::format("top-{}", k));
    }
  }
}

TEST_P(RoutingAgreement, OfPrices) {
  int compared = 0;
  for (int round = 0; round < 8; ++round) {
    draw_sample();
    PricingParameters p{.k = kK, .k_min = 1 + round % 3};
    p.unit_price = drawn(std::uniform_real_distribution<float>(0.5F, 2.0F));
    if (round % 2 == 1) p.bias = drawn(std::uniform_real_distribution<float>(-0.05F, 0.05F));
    const PricedSample priced(utilities_, p);
    const std::vector<float>& at = priced.thresholds();
    for (std::size_t i = 1; i < at.size(); ++i) {
      if (at[i] - at[i - 1] < 1e-4F) continue;  // a tie, but for rounding
      const double lambda = 0.5 * (at[i - 1] + at[i]);
      expect_foreseen(priced.loads(lambda), priced_plan(config_, p, lambda),
                      fmt::format("round {} lambda {}", round, lambda));
      ++compared;
    }
    const double closed = 2.0 * at.back() + 1.0;
    expect_foreseen(priced.loads(closed), priced_plan(config_, p, closed), "at any price");
  }
  EXPECT_GE(compared, 50);
}

TEST_P(RoutingAgreement, OfOpportunisticPlans) {
  for (int round = 0; round < 8; ++round) {
    draw_sample();
    const PricedSample priced(utilities_, {.k = kK});
    for (const double keep : {1.0, 1.3, 2.0, 2.75, 3.0, 4.0}) {
      expect_foreseen(keep_and_fill(priced, keep), opportunistic_plan(config_, keep),
                      fmt::format("round {} keep {}", round, keep));
    }
  }
}

std::string name_of(const testing::TestParamInfo<Shape>& info) {
  const auto& [score, groups, beta, losses] = info.param;
  return fmt::format("{}{}{}{}", to_string(score),
                     groups.all > 1 ? fmt::format("_{}of{}groups", groups.kept, groups.all) : "",
                     beta ? "_beta" : "", losses == LossScores::kBiased ? "_biased_losses" : "");
}

constexpr Groups kNoGroups{1, 1}, kTwoOfFour{4, 2};

INSTANTIATE_TEST_SUITE_P(Routers, RoutingAgreement,
                         testing::Combine(testing::Values(ScoreFunction::kSoftmax,
                                                          ScoreFunction::kSigmoid,
                                                          ScoreFunction::kSqrtSoftplus),
                                          testing::Values(kNoGroups, kTwoOfFour),
                                          testing::Values(false),
                                          testing::Values(LossScores::kUnbiased)),
                         name_of);
INSTANTIATE_TEST_SUITE_P(
    RoutersWithBeta, RoutingAgreement,
    testing::Combine(testing::Values(ScoreFunction::kSoftmax, ScoreFunction::kSigmoid,
                                     ScoreFunction::kSqrtSoftplus),
                     testing::Values(kNoGroups, kTwoOfFour), testing::Values(true),
                     testing::Values(LossScores::kUnbiased, LossScores::kBiased)),
    name_of);

}  // namespace
}  // namespace thermoe
