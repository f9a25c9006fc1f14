// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <random>

#include "core/router_spec.h"
#include "machine/gpu/step_load.h"

namespace thermoe {

/// What steps are of.
struct StepShape {
  int layers = 3;
  int tokens = 5;
  int experts = 16;
};

/// A step with random logits under a plan that has everything: other prices, biases, variants and
/// k in each layer, some of it a fraction.
inline StagedStep random_step(const StepShape& shape, const RouterSpec& router,
                              std::uint64_t version, std::mt19937& random) {
  std::normal_distribution<float> normal;
  std::uniform_real_distribution<float> uniform;
  StagedStep step{
      .plan = RoutingPlan(shape.layers, shape.experts, router.k),
      .step = random() % 1000,
      .sample = {.layers = shape.layers, .tokens = shape.tokens, .experts = shape.experts}};
  step.plan.header().version = version;
  for (int l = 0; l < shape.layers; ++l) {
    LayerPlan& row = step.plan.layer(l);
    row.k = 1 + static_cast<int>(random() % static_cast<unsigned>(router.k));
    row.k_min = 1 + static_cast<int>(random() % static_cast<unsigned>(row.k));
    row.extra_k_share = random() % 2 == 0 ? uniform(random) : 0.0F;
    row.extra_k_min_share = random() % 2 == 0 && row.k_min < row.k ? uniform(random) : 0.0F;
    for (float& price : step.plan.activation_price(l)) price = 0.3F * uniform(random);
    for (float& bias : step.plan.selection_bias(l)) bias = 0.05F * normal(random);
    for (auto& variant : step.plan.variant(l)) variant = random() % 2;
  }
  step.sample.logits.resize(static_cast<std::size_t>(shape.layers) * shape.tokens * shape.experts);
  for (float& logit : step.sample.logits) logit = 2.0F * normal(random);
  return step;
}

}  // namespace thermoe
