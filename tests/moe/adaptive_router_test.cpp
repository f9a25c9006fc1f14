// SPDX-License-Identifier: Apache-2.0
#include "moe/adaptive_router.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <set>

#include "core/errors.h"
#include "core/spread_extra.h"

namespace thermoe {
namespace {

constexpr int kExperts = 16;
constexpr int kTokens = 8;
constexpr int kTopK = 4;
const RouterSpec kRouter{.experts = kExperts, .k = kTopK};

std::vector<float> random_logits(int tokens, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, 2.0F);
  std::vector<float> logits(static_cast<std::size_t>(tokens) * kExperts);
  for (float& v : logits) v = normal(random);
  return logits;
}

int active(const LayerRouting& routing) {
  return static_cast<int>(std::count_if(routing.counts.begin(), routing.counts.end(),
                                        [](std::int32_t n) { return n > 0; }));
}

double mean(std::span<const float> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

TEST(AdaptiveRouter, TheBaselinePlanIsPlainTopK) {
  const auto logits = random_logits(kTokens, 1);
  AdaptiveRouter router(kRouter, kTokens);
  const auto routing = router.route(logits, kTokens, RoutingPlan(1, kExperts, kTopK), 0, 3);
  ASSERT_EQ(routing.slots, kTopK);
  for (int t = 0; t < kTokens; ++t) {
    const float* row = logits.data() + t * kExperts;
    std::vector<int> ids(kExperts);
    std::iota(ids.begin(), ids.end(), 0);
    std::stable_sort(ids.begin(), ids.end(), [row](int a, int b) { return row[a] > row[b]; });
    double mass = 0.0;
    for (int s = 0; s < kTopK; ++s) mass += std::exp(double{row[ids[s]]});
    for (int s = 0; s < kTopK; ++s) {
      EXPECT_EQ(routing.expert[t * kTopK + s], ids[s]);
      EXPECT_NEAR(routing.weight[t * kTopK + s], std::exp(double{row[ids[s]]}) / mass, 1e-6);
    }
    EXPECT_EQ(routing.kept_mass[t], 1.0F);
  }
  EXPECT_EQ(std::accumulate(routing.counts.begin(), routing.counts.end(), 0), kTokens * kTopK);
}

TEST(AdaptiveRouter, APriceShrinksTheActiveSet) {
  const auto logits = random_logits(kTokens, 2);
  AdaptiveRouter router(kRouter, kTokens);
  RoutingPlan plan(1, kExperts, kTopK);
  const int before = active(router.route(logits, kTokens, plan, 0, 0));
  plan.layer(0).k_min = 1;
  std::ranges::fill(plan.activation_price(0), 0.3F);
  const auto priced = router.route(logits, kTokens, plan, 0, 0);
  EXPECT_LT(active(priced), before);
  EXPECT_LT(mean(priced.kept_mass), 1.0);
}

TEST(AdaptiveRouter, ThePlansKMinSaysHowManyPicksOfATokenNoPriceTakes) {
  const auto logits = random_logits(kTokens, 7);
  AdaptiveRouter router(kRouter, kTokens);
  RoutingPlan plan(1, kExperts, kTopK);
  std::ranges::fill(plan.activation_price(0), 1e9F);
  for (int k_min = 1; k_min <= kTopK; ++k_min) {
    plan.layer(0).k_min = k_min;
    std::set<int> guaranteed;
    for (int t = 0; t < kTokens; ++t) {
      const float* row = logits.data() + t * kExperts;
      std::vector<int> ids(kExperts);
      std::iota(ids.begin(), ids.end(), 0);
      std::stable_sort(ids.begin(), ids.end(), [row](int a, int b) { return row[a] > row[b]; });
      guaranteed.insert(ids.begin(), ids.begin() + k_min);
    }
    const auto routing = router.route(logits, kTokens, plan, 0, 0);
    for (int e = 0; e < kExperts; ++e) {
      EXPECT_EQ(routing.counts[e] > 0, guaranteed.contains(e)) << "k_min " << k_min << " e " << e;
    }
  }
}

TEST(AdaptiveRouter, EachLayerHasItsOwnPricesBiasesAndK) {
  const auto logits = random_logits(kTokens, 8);
  AdaptiveRouter router(kRouter, kTokens);
  const RoutingPlan baseline(3, kExperts, kTopK);
  const auto counts_of = [&](const RoutingPlan& plan, int layer) {
    const auto counts = router.route(logits, kTokens, plan, layer, 0).counts;
    return std::vector<std::int32_t>(counts.begin(), counts.end());
  };
  RoutingPlan plan = baseline;
  plan.layer(0).k_min = plan.layer(1).k_min = 1;
  std::ranges::fill(plan.activation_price(0), 0.3F);
  std::ranges::fill(plan.activation_price(1), 0.9F);  // a layer that matters less: a larger price
  plan.layer(2).k = plan.layer(2).k_min = 2;
  plan.selection_bias(2)[0] = 2.0F;
  const auto active_in = [&](int layer) {
    return kExperts - std::ranges::count(counts_of(plan, layer), 0);
  };
  EXPECT_EQ(counts_of(baseline, 1), counts_of(baseline, 0));
  EXPECT_LT(active_in(0), kExperts - std::ranges::count(counts_of(baseline, 0), 0));
  EXPECT_LT(active_in(1), active_in(0));
  const auto last = counts_of(plan, 2);
  EXPECT_EQ(last[0], 0);
  EXPECT_EQ(std::accumulate(last.begin(), last.end(), 0), 2 * kTokens);
}

TEST(AdaptiveRouter, ABiasMovesTokensAwayFromAnExpert) {
  const auto logits = random_logits(kTokens, 3);
  AdaptiveRouter router(kRouter, kTokens);
  RoutingPlan plan(1, kExperts, kTopK);
  const auto counts = router.route(logits, kTokens, plan, 0, 0).counts;
  const auto busiest = std::max_element(counts.begin(), counts.end()) - counts.begin();
  plan.selection_bias(0)[busiest] = 2.0F;
  EXPECT_EQ(router.route(logits, kTokens, plan, 0, 0).counts[busiest], 0);
}

TEST(AdaptiveRouter, MeasuresAReducedKAgainstTheModelsOwnK) {
  const auto logits = random_logits(kTokens, 4);
  AdaptiveRouter router(kRouter, kTokens);
  const auto routing = router.route(logits, kTokens, RoutingPlan(1, kExperts, 2), 0, 0);
  for (int t = 0; t < kTokens; ++t) {
    std::vector<float> row(logits.begin() + t * kExperts, logits.begin() + (t + 1) * kExperts);
    std::sort(row.begin(), row.end(), std::greater<>());
    double two = 0.0;
    double four = 0.0;
    for (int s = 0; s < 4; ++s) {
      four += std::exp(double{row[s]});
      if (s < 2) two += std::exp(double{row[s]});
    }
    EXPECT_NEAR(routing.kept_mass[t], two / four, 1e-6);
  }
}

TEST(AdaptiveRouter, MixesTwoKOverTokens) {
  const auto logits = random_logits(kTokens, 5);
  AdaptiveRouter router(kRouter, kTokens);
  RoutingPlan plan(1, kExperts, 3);
  plan.layer(0).extra_k_share = 0.5F;
  const auto routing = router.route(logits, kTokens, plan, 0, 0);
  ASSERT_EQ(routing.slots, 4);
  EXPECT_EQ(std::accumulate(routing.counts.begin(), routing.counts.end(), 0),
            kTokens / 2 * (3 + 4));
  EXPECT_EQ(std::ranges::count(routing.expert, -1), kTokens / 2);
}

/// Keep-k0-fill-from-union said literally; a share of the tokens, in turn, keeps one more.
std::vector<std::vector<int>> keep_and_fill(const std::vector<float>& logits, int tokens,
                                            std::span<const int> keep) {
  std::vector<std::vector<int>> ranked;
  std::set<int> runs;
  for (int t = 0; t < tokens; ++t) {
    const float* row = logits.data() + t * kExperts;
    std::vector<int> ids(kExperts);
    std::iota(ids.begin(), ids.end(), 0);
    std::stable_sort(ids.begin(), ids.end(), [row](int a, int b) { return row[a] > row[b]; });
    runs.insert(ids.begin(), ids.begin() + keep[t]);
    ranked.push_back(ids);
  }
  for (auto& ids : ranked) {
    std::erase_if(ids, [&](int e) { return !runs.contains(e); });
    ids.resize(std::min<std::size_t>(ids.size(), kTopK));
  }
  return ranked;
}

TEST(AdaptiveRouter, AnOpportunisticPlanKeepsTheBestAndFillsFromTheUnion) {
  AdaptiveRouter router(kRouter, kTokens);
  for (const double keep : {1.0, 1.4, 2.0, 2.75, 3.5, 4.0}) {
    RoutingPlan plan(1, kExperts, kTopK);
    plan.set_opportunistic(keep);
    int kept = 0;
    for (unsigned step = 0; step < 40; ++step) {
      const auto logits = random_logits(kTokens, step);
      std::vector<int> own(kTokens);
      spread_extra(static_cast<int>(keep), static_cast<float>(keep - std::floor(keep)), 0, step,
                   own);
      kept += std::accumulate(own.begin(), own.end(), 0);
      const auto expected = keep_and_fill(logits, kTokens, own);
      const LayerRouting routing = router.route(logits, kTokens, plan, 0, step);
      ASSERT_EQ(routing.slots, kTopK);
      for (int t = 0; t < kTokens; ++t) {
        std::vector<int> picks(routing.expert.begin() + t * kTopK,
                               routing.expert.begin() + (t + 1) * kTopK);
        std::erase(picks, -1);
        ASSERT_EQ(picks, expected[t]) << "keep " << keep << " step " << step << " token " << t;
      }
    }
    EXPECT_NEAR(kept, keep * kTokens * 40, 1.0) << "keep " << keep;
  }
}

TEST(AdaptiveRouter, KeepingMoreBestExpertsRunsMoreExpertsAndKeepsMoreMass) {
  AdaptiveRouter router(kRouter, kTokens);
  double last_active = 0.0;
  double last_mass = 0.0;
  for (const double keep : {1.0, 1.5, 2.0, 2.5, 3.0}) {
    RoutingPlan plan(1, kExperts, kTopK);
    plan.set_opportunistic(keep);
    double now_active = 0.0;
    double mass = 0.0;
    for (unsigned step = 0; step < 100; ++step) {
      const auto routing = router.route(random_logits(kTokens, step), kTokens, plan, 0, step);
      now_active += active(routing);
      mass += mean(routing.kept_mass);
    }
    EXPECT_GT(now_active, last_active) << "keep " << keep;
    EXPECT_GT(mass, last_mass) << "keep " << keep;
    last_active = now_active;
    last_mass = mass;
  }
}

TEST(AdaptiveRouter, WeighsByTheRoutersDenominator) {
  const auto logits = random_logits(kTokens, 9);
  RoutingPlan plan(1, kExperts, 2);  // two of the model's four
  const auto sums = [&](WeightDenominator denominator) {
    RouterSpec spec = kRouter;
    spec.denominator = denominator;
    spec.routed_scale = 2.0;
    AdaptiveRouter router(spec, kTokens);
    const LayerRouting routing = router.route(logits, kTokens, plan, 0, 0);
    std::vector<std::pair<double, double>> result;  // sum of weights, kept mass
    for (int t = 0; t < kTokens; ++t) {
      result.emplace_back(double{routing.weight[2 * t]} + routing.weight[2 * t + 1],
                          routing.kept_mass[t]);
    }
    return result;
  };
  for (const auto& [sum, kept] : sums(WeightDenominator::kPicked)) EXPECT_NEAR(sum, 2.0, 1e-5);
  for (const auto& [sum, kept] : sums(WeightDenominator::kReference)) {
    EXPECT_LT(kept, 1.0);
    EXPECT_NEAR(sum, 2.0 * kept, 1e-5);
  }
  const auto none = sums(WeightDenominator::kNone);
  for (int t = 0; t < kTokens; ++t) {
    double whole = 0.0;
    std::vector<float> row(logits.begin() + t * kExperts, logits.begin() + (t + 1) * kExperts);
    std::sort(row.begin(), row.end(), std::greater<>());
    for (const float x : row) whole += std::exp(double{x});
    EXPECT_NEAR(none[t].first, 2.0 * (std::exp(double{row[0]}) + std::exp(double{row[1]})) / whole,
                1e-5);
  }
}

TEST(AdaptiveRouter, EachLayerOfAModelHasItsOwnSelectionBias) {
  RouterSpec spec = kRouter;
  spec.score = ScoreFunction::kSigmoid;
  spec.selection_bias.assign(2 * kExperts, 0.0F);
  spec.selection_bias[kExperts + 5] = 2.0F;
  AdaptiveRouter router(spec, kTokens);
  const RoutingPlan plan(2, kExperts, kTopK);
  const auto logits = random_logits(kTokens, 10);
  EXPECT_LT(router.route(logits, kTokens, plan, 0, 0).counts[5], kTokens);
  EXPECT_EQ(router.route(logits, kTokens, plan, 1, 0).counts[5], kTokens);
  EXPECT_THROW(router.route(logits, kTokens, RoutingPlan(3, kExperts, kTopK), 2, 0),
               PreconditionError);
}

TEST(AdaptiveRouter, RefusesWhatDoesNotFit) {
  const auto logits = random_logits(kTokens, 6);
  AdaptiveRouter router(kRouter, kTokens);
  EXPECT_THROW(router.route(logits, kTokens, RoutingPlan(1, 8, 4), 0, 0), PreconditionError);
  EXPECT_THROW(router.route(logits, kTokens, RoutingPlan(1, kExperts, 4), 1, 0), PreconditionError);
  EXPECT_THROW(router.route(logits, kTokens - 1, RoutingPlan(1, kExperts, 4), 0, 0),
               PreconditionError);
  EXPECT_THROW(AdaptiveRouter({.experts = 4, .k = 5}, 1), PreconditionError);
  EXPECT_THROW(AdaptiveRouter({.experts = 4, .k = 2, .groups = 3}, 1), PreconditionError);
  EXPECT_THROW(AdaptiveRouter({.experts = 4, .k = 2, .selection_bias{1.0F, 0.0F}}, 1),
               PreconditionError);
  EXPECT_THROW(AdaptiveRouter(kRouter, 0), PreconditionError);
}

}  // namespace
}  // namespace thermoe
