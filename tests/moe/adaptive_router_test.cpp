// SPDX-License-Identifier: Apache-2.0
#include "moe/adaptive_router.h"

#include <gtest/gtest.h>

#include "core/errors.h"

namespace thermoe {
namespace {

constexpr int kExperts = 128;
constexpr int kTopK = 8;
constexpr int kBatch = 16;

at::Tensor logits_of(std::int64_t tokens, unsigned seed) {
  torch::manual_seed(seed);
  return at::randn({tokens, kExperts}) * 2.0;
}

/// A plan whose only row prices every expert and lets each token keep two.
RoutingPlan priced_plan(float price) {
  RoutingPlan plan(1, kExperts, kTopK);
  plan.layer(0).k_min = 2;
  std::ranges::fill(plan.activation_price(0), price);
  return plan;
}

double mean_active(const Routing& routing) {
  return routing.counts.gt(0).sum(-1).to(at::kDouble).mean().item<double>();
}

TEST(AdaptiveRouter, BaselineIsTorchsTopKOfTheProbabilitiesRenormalised) {
  AdaptiveRouter router(Strategy::kBaseline, 0, kExperts, kTopK);
  router.adopt(priced_plan(1.0F));  // lets no plan in
  const at::Tensor logits = logits_of(4096, 1);
  const Routing routing = router.route(logits, kBatch);

  const auto [p, ids] = at::topk(at::softmax(logits, -1), kTopK, -1);
  EXPECT_TRUE(at::equal(routing.indices, ids.to(at::kInt)));
  EXPECT_EQ(routing.weights.scalar_type(), at::kFloat);
  EXPECT_TRUE(at::allclose(routing.weights, p / p.sum(-1, /*keepdim=*/true), 1e-5, 1e-7));
  EXPECT_EQ(routing.kept_mass, 1.0);
  const at::Tensor expected =
      at::zeros({4096 / kBatch, kExperts}, at::kInt)
          .scatter_add_(1, ids.view({4096 / kBatch, -1}),
                        at::ones({4096 / kBatch, kBatch * kTopK}, at::kInt));
  EXPECT_TRUE(at::equal(routing.counts, expected));
}

TEST(AdaptiveRouter, APlanOfZerosIsBaselineBitForBitForEveryStrategy) {
  const at::Tensor logits = logits_of(256, 2);
  AdaptiveRouter baseline(Strategy::kBaseline, 0, kExperts, kTopK);
  const Routing expected = baseline.route(logits, kBatch);
  RoutingPlan zeros(1, kExperts, kTopK);
  zeros.layer(0).k_min = 1;  // prices of zero keep every pick
  for (const Strategy strategy : {Strategy::kStaticOptimal, Strategy::kKernelAwareTtha}) {
    AdaptiveRouter router(strategy, 0, kExperts, kTopK);
    router.adopt(zeros);
    const Routing routing = router.route(logits, kBatch);
    EXPECT_TRUE(at::equal(routing.indices, expected.indices));
    EXPECT_TRUE(at::equal(routing.weights, expected.weights));
    EXPECT_TRUE(at::equal(routing.counts, expected.counts));
  }
}

TEST(AdaptiveRouter, StaticKeepsItsFirstPlanAndTthaFollows) {
  const at::Tensor logits = logits_of(kBatch, 3);
  AdaptiveRouter fixed(Strategy::kStaticOptimal, 0, kExperts, kTopK);
  AdaptiveRouter following(Strategy::kKernelAwareTtha, 0, kExperts, kTopK);
  for (const float price : {0.1F, 0.6F}) {
    fixed.adopt(priced_plan(price));
    following.adopt(priced_plan(price));
  }
  const double unpriced =
      mean_active(AdaptiveRouter(Strategy::kBaseline, 0, kExperts, kTopK).route(logits, kBatch));
  const double kept = mean_active(fixed.route(logits, kBatch));
  const double followed = mean_active(following.route(logits, kBatch));
  EXPECT_LT(kept, unpriced);
  EXPECT_LT(followed, kept);
}

TEST(AdaptiveRouter, PricesActOnEachBatchOfTokensOnItsOwn) {
  const at::Tensor logits = logits_of(3 * kBatch, 4);
  AdaptiveRouter router(Strategy::kKernelAwareTtha, 0, kExperts, kTopK);
  router.adopt(priced_plan(0.3F));
  const Routing together = router.route(logits, kBatch);
  for (int b = 0; b < 3; ++b) {
    const Routing alone = router.route(logits.slice(0, b * kBatch, (b + 1) * kBatch), kBatch);
    EXPECT_TRUE(at::equal(together.indices.slice(0, b * kBatch, (b + 1) * kBatch), alone.indices));
    EXPECT_TRUE(at::equal(together.counts[b], alone.counts[0]));
  }
}

TEST(AdaptiveRouter, WeightsComeFromUnbiasedProbabilities) {
  const at::Tensor logits = logits_of(kBatch, 5);
  RoutingPlan plan(1, kExperts, kTopK);
  for (int e = 0; e < kExperts; e += 2) plan.selection_bias(0)[e] = 0.2F;
  AdaptiveRouter router(Strategy::kKernelAwareTtha, 0, kExperts, kTopK);
  router.adopt(plan);
  const Routing routing = router.route(logits, kBatch);
  const at::Tensor chosen = at::softmax(logits, -1).gather(1, routing.indices.to(at::kLong));
  EXPECT_TRUE(at::allclose(routing.weights, chosen / chosen.sum(-1, true), 1e-5, 1e-7));
  EXPECT_LT(routing.kept_mass, 1.0);
}

TEST(AdaptiveRouter, RefusesWhatDoesNotFit) {
  AdaptiveRouter router(Strategy::kKernelAwareTtha, 1, kExperts, kTopK);
  EXPECT_THROW(router.adopt(RoutingPlan(1, kExperts, kTopK)), PreconditionError);  // no layer 1
  EXPECT_THROW(router.adopt(RoutingPlan(2, 64, kTopK)), PreconditionError);
  EXPECT_THROW(router.route(at::zeros({4, 64}), 4), PreconditionError);
  EXPECT_THROW(router.route(at::zeros({5, kExperts}), 4), PreconditionError);
  EXPECT_THROW(router.route(at::zeros({4, kExperts}, at::kDouble), 4), PreconditionError);
}

}  // namespace
}  // namespace thermoe
