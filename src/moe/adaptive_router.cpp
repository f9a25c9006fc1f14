// SPDX-License-Identifier: Apache-2.0
#include "moe/adaptive_router.h"

#include <algorithm>
#include <utility>

#include "core/errors.h"
#include "core/spread_extra.h"

namespace thermoe {

AdaptiveRouter::AdaptiveRouter(RouterSpec router, int max_tokens) : router_(std::move(router)) {
  const auto experts = static_cast<std::size_t>(std::max(router_.experts, 1));
  const auto layers = static_cast<int>(router_.selection_bias.size() / experts);
  const auto problem = find_problem(router_, layers);
  THERMOE_EXPECT(!problem, "router.{}: {}", problem->key, problem->problem);
  THERMOE_EXPECT(max_tokens >= 1, "a router needs tokens={} >= 1", max_tokens);
  const std::size_t picks = static_cast<std::size_t>(max_tokens) * experts;
  k_per_token_.resize(max_tokens);
  k_min_per_token_.resize(max_tokens);
  expert_.resize(picks);
  weight_.resize(picks);
  counts_.resize(experts);
  kept_mass_.resize(max_tokens);
  workspace_.reserve(router_.experts);
}

int AdaptiveRouter::slots(const RoutingPlan& plan, int layer) const {
  const LayerPlan& row = plan.layer(layer);
  return row.k + (row.extra_k_share > 0.0F && row.k < experts() ? 1 : 0);
}

PlanLevers AdaptiveRouter::levers(const RoutingPlan& plan, int layer, int tokens,
                                  std::uint64_t step) {
  const LayerPlan& row = plan.layer(layer);
  PlanLevers levers{.k = row.k,
                    .k_min = std::clamp(row.k_min, 1, row.k),
                    .selection_bias = plan.selection_bias(layer),
                    .activation_price = plan.activation_price(layer)};
  const std::span<int> k = std::span(k_per_token_).first(tokens);
  if (slots(plan, layer) > row.k) {
    spread_extra(row.k, row.extra_k_share, layer, step, k);
    levers.k_per_token = k;
  }
  if (row.extra_k_min_share > 0.0F) {
    const std::span<int> k_min = std::span(k_min_per_token_).first(tokens);
    spread_extra(levers.k_min, row.extra_k_min_share, layer, step, k_min);
    for (int t = 0; t < tokens; ++t) {
      k_min[t] = std::min(k_min[t], levers.k_per_token.empty() ? row.k : k[t]);
    }
    levers.k_min_per_token = k_min;
  }
  return levers;
}

LayerRouting AdaptiveRouter::route(std::span<const float> logits, int tokens,
                                   const RoutingPlan& plan, int layer, std::uint64_t step) {
  THERMOE_EXPECT(plan.experts() == experts() && layer >= 0 && layer < plan.layers(),
                 "layer {} of a plan of {} layers x {} experts does not fit {} experts", layer,
                 plan.layers(), plan.experts(), experts());
  THERMOE_EXPECT(tokens >= 1 && tokens <= static_cast<int>(kept_mass_.size()) &&
                     logits.size() == static_cast<std::size_t>(tokens) * experts(),
                 "{} logits are not [{}, {}], at most {} tokens", logits.size(), tokens, experts(),
                 kept_mass_.size());
  const LayerPlan& row = plan.layer(layer);
  THERMOE_EXPECT(1 <= row.k && row.k <= experts(), "layer {}: k={} is not in 1..{}", layer, row.k,
                 experts());
  const int slots = this->slots(plan, layer);
  topk_route({.logits = logits.data(),
              .tokens = tokens,
              .router = &router_,
              .layer = layer,
              .plan = levers(plan, layer, tokens, step),
              .expert = expert_.data(),
              .weight = weight_.data(),
              .slots = slots,
              .counts = counts_.data(),
              .kept_mass = kept_mass_.data(),
              .workspace = &workspace_});
  const auto picks = static_cast<std::size_t>(tokens) * slots;
  return {.tokens = tokens,
          .slots = slots,
          .expert = std::span(expert_).first(picks),
          .weight = std::span(weight_).first(picks),
          .counts = counts_,
          .kept_mass = std::span(kept_mass_).first(tokens)};
}

}  // namespace thermoe
