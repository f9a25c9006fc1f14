// SPDX-License-Identifier: Apache-2.0
#include "moe/tensor_routing.h"

#include <gtest/gtest.h>

#include "core/errors.h"
#include "moe/training_routing.h"

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

Routing route(const at::Tensor& logits, const RoutingPlan& plan) {
  AdaptiveRouter router({.experts = kExperts, .k = kTopK}, kBatch);
  return route_batches(router, logits, kBatch, plan, 0);
}

TEST(TensorRouting, BaselineIsTorchsTopKOfTheProbabilitiesRenormalised) {
  const at::Tensor logits = logits_of(4096, 1);
  const Routing routing = route(logits, RoutingPlan(1, kExperts, kTopK));

  const auto [p, ids] = at::topk(at::softmax(logits, -1), kTopK, -1);
  EXPECT_TRUE(at::equal(routing.indices, ids.to(at::kInt)));
  EXPECT_EQ(routing.weights.scalar_type(), at::kFloat);
  EXPECT_TRUE(at::allclose(routing.weights, p / p.sum(-1, /*keepdim=*/true), 1e-5, 1e-7));
  EXPECT_TRUE(routing.kept_mass.eq(1.0).all().item<bool>());
  const at::Tensor expected =
      at::zeros({4096 / kBatch, kExperts}, at::kInt)
          .scatter_add_(1, ids.view({4096 / kBatch, -1}),
                        at::ones({4096 / kBatch, kBatch * kTopK}, at::kInt));
  EXPECT_TRUE(at::equal(routing.counts, expected));
}

TEST(TensorRouting, TrainingPicksAndWeighsAsTheRouterDoesUnderBaseline) {
  const at::Tensor logits = logits_of(512, 6);
  const Routing routing = route(logits, RoutingPlan(1, kExperts, kTopK));
  const TrainingRouting training = route_for_training(logits, kTopK, {});
  const at::Tensor gates =
      at::zeros_like(logits).scatter_(1, routing.indices.to(at::kLong), routing.weights);
  EXPECT_TRUE(at::equal(training.picked, gates.gt(0).to(at::kFloat)));
  EXPECT_TRUE(at::equal(training.ids, routing.indices));
  EXPECT_TRUE(at::allclose(training.weights, routing.weights, 1e-5, 1e-7));
}

TEST(TensorRouting, PricesActOnEachBatchOfTokensOnItsOwn) {
  const at::Tensor logits = logits_of(3 * kBatch, 4);
  const Routing together = route(logits, priced_plan(0.3F));
  EXPECT_LT(mean_active(together), mean_active(route(logits, priced_plan(0.0F))));
  for (int b = 0; b < 3; ++b) {
    const Routing alone = route(logits.slice(0, b * kBatch, (b + 1) * kBatch), priced_plan(0.3F));
    EXPECT_TRUE(at::equal(together.indices.slice(0, b * kBatch, (b + 1) * kBatch), alone.indices));
    EXPECT_TRUE(at::equal(together.counts[b], alone.counts[0]));
  }
}

TEST(TensorRouting, WeightsComeFromUnbiasedProbabilities) {
  const at::Tensor logits = logits_of(kBatch, 5);
  RoutingPlan plan(1, kExperts, kTopK);
  for (int e = 0; e < kExperts; e += 2) plan.selection_bias(0)[e] = 0.2F;
  const Routing routing = route(logits, plan);
  const at::Tensor chosen = at::softmax(logits, -1).gather(1, routing.indices.to(at::kLong));
  EXPECT_TRUE(at::allclose(routing.weights, chosen / chosen.sum(-1, true), 1e-5, 1e-7));
  EXPECT_LT(routing.kept_mass.mean().item<double>(), 1.0);
}

TEST(TensorRouting, RefusesWhatDoesNotFit) {
  AdaptiveRouter router({.experts = kExperts, .k = kTopK}, 4);
  const RoutingPlan plan(1, kExperts, kTopK);
  const at::Tensor good = at::zeros({8, kExperts});
  EXPECT_NO_THROW(route_batches(router, good, 4, plan, 0));
  EXPECT_THROW(route_batches(router, good, 4, plan, 1), PreconditionError);  // no layer 1
  EXPECT_THROW(route_batches(router, good, 4, RoutingPlan(1, 64, kTopK), 0), PreconditionError);
  EXPECT_THROW(route_batches(router, at::zeros({8, 64}), 4, plan, 0), PreconditionError);
  EXPECT_THROW(route_batches(router, at::zeros({5, kExperts}), 4, plan, 0), PreconditionError);
  EXPECT_THROW(route_batches(router, good, 8, plan, 0), PreconditionError);  // more than 4 at once
  EXPECT_THROW(route_batches(router, good.to(at::kDouble), 4, plan, 0), PreconditionError);
}

}  // namespace
}  // namespace thermoe
