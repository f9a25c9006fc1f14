// SPDX-License-Identifier: Apache-2.0
#include "machine/calibration/imposed_step.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "core/errors.h"
#include "kernels/topk_route.h"
#include "machine/calibration/calibration_plan.h"

namespace thermoe {
namespace {

/// Tokens of each expert in a layer, as the CPU routes them.
std::vector<std::int32_t> loads_of(const StagedStep& step, const RouterSpec& router, int layer) {
  const LogitSample& sample = step.sample;
  const std::size_t picks = static_cast<std::size_t>(sample.tokens) * router.k;
  std::vector<std::int32_t> expert(picks), counts(static_cast<std::size_t>(router.experts));
  std::vector<float> weight(picks);
  TopkRouteArgs args{.logits = sample.layer(layer).data(),
                     .tokens = sample.tokens,
                     .router = RouterView(router, layer),
                     .plan = step.plan.view(layer)};
  args.expert = expert.data(), args.weight = weight.data(), args.slots = router.k;
  args.counts = counts.data();
  std::vector<std::byte> workspace(
      topk_route_workspace(Backend::kCpu, args.router, args.tokens, args.slots) + 64);
  const auto past = reinterpret_cast<std::uintptr_t>(workspace.data()) % 64;
  args.workspace = workspace.data() + (past == 0 ? 0 : 64 - past);
  args.workspace_size = workspace.size() - 64;
  topk_route(Backend::kCpu, args, {});
  return counts;
}

int active(const std::vector<std::int32_t>& loads) {
  return static_cast<int>(std::ranges::count_if(loads, [](int n) { return n > 0; }));
}

/// As Qwen3's.
const RouterSpec kPlain{.experts = 128, .k = 8};

/// As DeepSeek-V3's: sigmoid, groups, and a bias that outweighs every score.
RouterSpec grouped() {
  RouterSpec router{
      .experts = 256, .k = 8, .score = ScoreFunction::kSigmoid, .groups = 8, .groups_kept = 4};
  std::mt19937_64 random(3);
  for (int i = 0; i < 2 * 256; ++i) {
    router.selection_bias.push_back(static_cast<float>(random() % 100) * 0.05F);
  }
  return router;
}

TEST(ImposedStep, TheRouterActivatesExactlyAsManyExpertsAsWereAskedFor) {
  std::mt19937_64 random(1);
  for (const RouterSpec& router : {kPlain, grouped()}) {
    for (const int tokens : {1, 4, 16}) {
      for (const int wanted : active_grid(router.k, router.experts, tokens)) {
        const StagedStep step =
            imposed_step(router, {.layers = 2, .tokens = tokens, .active = wanted}, random);
        for (int l = 0; l < 2; ++l) {
          const auto loads = loads_of(step, router, l);
          EXPECT_EQ(active(loads), wanted) << router.experts << " experts, " << tokens;
          EXPECT_EQ(std::accumulate(loads.begin(), loads.end(), 0), tokens * router.k);
        }
      }
    }
  }
}

TEST(ImposedStep, LayersAndDrawsUseOtherExperts) {
  std::mt19937_64 random(1);
  const ImposedStep wanted{.layers = 2, .tokens = 16, .active = 32};
  const StagedStep first = imposed_step(kPlain, wanted, random);
  const StagedStep second = imposed_step(kPlain, wanted, random);
  EXPECT_NE(loads_of(first, kPlain, 0), loads_of(first, kPlain, 1));
  EXPECT_NE(loads_of(first, kPlain, 0), loads_of(second, kPlain, 0));
}

TEST(ImposedStep, LoadsAreAsUnevenAsRandomPicks) {
  std::mt19937_64 random(1);
  const StagedStep step = imposed_step(kPlain, {.layers = 1, .tokens = 64, .active = 64}, random);
  // 512 picks of 64 experts: 8 each in the mean, with a standard deviation of 2.6.
  const auto loads = loads_of(step, kPlain, 0);
  const int most = *std::ranges::max_element(loads);
  EXPECT_GT(most, 10);
  EXPECT_LT(most, 20);
}

TEST(ImposedStep, ThePlanIsTheBaselineOfAllOneVariant) {
  std::mt19937_64 random(1);
  const StagedStep step = imposed_step(
      kPlain, {.layers = 2, .tokens = 4, .active = 8, .variant = 1, .version = 7}, random);
  EXPECT_EQ(step.plan.header().version, 7U);
  EXPECT_EQ(find_problem(step.plan), std::nullopt);
  for (int l = 0; l < 2; ++l) {
    EXPECT_EQ(step.plan.layer(l).k, 8);
    EXPECT_TRUE(std::ranges::all_of(step.plan.variant(l), [](int v) { return v == 1; }));
  }
}

TEST(ImposedStep, WhatABatchCannotReachIsRefused) {
  std::mt19937_64 random(1);
  EXPECT_THROW(imposed_step(kPlain, {.layers = 1, .tokens = 4, .active = 33}, random),
               PreconditionError);
  EXPECT_THROW(imposed_step(kPlain, {.layers = 1, .tokens = 4, .active = 7}, random),
               PreconditionError);
}

}  // namespace
}  // namespace thermoe
