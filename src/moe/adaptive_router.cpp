// SPDX-License-Identifier: Apache-2.0
#include "moe/adaptive_router.h"

#include <algorithm>
#include <utility>

#include "core/errors.h"

namespace thermoe {

AdaptiveRouter::AdaptiveRouter(RouterSpec router, int max_tokens)
    : router_(std::move(router)), max_tokens_(max_tokens) {
  const auto experts = static_cast<std::size_t>(std::max(router_.experts, 1));
  const auto layers = static_cast<int>(router_.selection_bias.size() / experts);
  const auto problem = find_problem(router_, layers);
  THERMOE_EXPECT(!problem, "router.{}: {}", problem->key, problem->problem);
  THERMOE_EXPECT(max_tokens >= 1, "a router needs tokens={} >= 1", max_tokens);
  const std::size_t picks = static_cast<std::size_t>(max_tokens) * experts;
  expert_.resize(picks);
  weight_.resize(picks);
  counts_.resize(experts);
  kept_mass_.resize(max_tokens);
  first_.resize(experts + 1);
  pair_.resize(picks);
  workspace_.resize(topk_route_workspace(Backend::kCpu, RouterView(router_, nullptr), max_tokens,
                                         router_.experts));
}

int AdaptiveRouter::slots(const RoutingPlan& plan, int layer) const {
  const LayerPlan& row = plan.layer(layer);
  return row.k + (row.extra_k_share > 0.0F && row.k < experts() ? 1 : 0);
}

LayerRouting AdaptiveRouter::route(std::span<const float> logits, int tokens,
                                   const RoutingPlan& plan, int layer, std::uint64_t step) {
  THERMOE_EXPECT(plan.experts() == experts() && layer >= 0 && layer < plan.layers(),
                 "layer {} of a plan of {} layers x {} experts does not fit {} experts", layer,
                 plan.layers(), plan.experts(), experts());
  THERMOE_EXPECT(tokens >= 1 && tokens <= max_tokens_ &&
                     logits.size() == static_cast<std::size_t>(tokens) * experts(),
                 "{} logits are not [{}, {}], at most {} tokens", logits.size(), tokens, experts(),
                 max_tokens_);
  const int slots = this->slots(plan, layer);
  const StepState state{.step = step};
  topk_route(Backend::kCpu,
             {.logits = logits.data(),
              .tokens = tokens,
              .router = RouterView(router_, layer),
              .plan = plan.view(layer),
              .step = &state,
              .expert = expert_.data(),
              .weight = weight_.data(),
              .slots = slots,
              .counts = counts_.data(),
              .kept_mass = kept_mass_.data(),
              .order = {first_.data(), pair_.data()},
              .workspace = workspace_.data(),
              .workspace_size = workspace_.size()},
             Stream{nullptr});
  const auto picks = static_cast<std::size_t>(tokens) * slots;
  return {.tokens = tokens,
          .slots = slots,
          .expert = std::span(expert_).first(picks),
          .weight = std::span(weight_).first(picks),
          .counts = counts_,
          .kept_mass = std::span(kept_mass_).first(tokens),
          .order = {first_.data(), pair_.data()}};
}

}  // namespace thermoe
