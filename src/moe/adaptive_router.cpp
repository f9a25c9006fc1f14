// SPDX-License-Identifier: Apache-2.0
#include "moe/adaptive_router.h"

#include <algorithm>
#include <cmath>

#include "core/errors.h"

namespace thermoe {
namespace {

/// Probability mass of a token's picks over that of its `k` best experts, at most 1 (it takes more
/// than k where a plan gives extra picks). Softmax's denominator cancels.
float mass_share(std::span<const float> logits, std::span<const std::int32_t> picks, int k,
                 std::span<float> scratch) {
  std::copy(logits.begin(), logits.end(), scratch.begin());
  std::nth_element(scratch.begin(), scratch.begin() + (k - 1), scratch.end(), std::greater<>());
  const float most = *std::max_element(scratch.begin(), scratch.begin() + k);
  float own = 0.0F;
  for (int i = 0; i < k; ++i) own += std::exp(scratch[i] - most);
  float kept = 0.0F;
  for (const std::int32_t e : picks) {
    if (e >= 0) kept += std::exp(logits[e] - most);
  }
  return std::min(1.0F, kept / own);
}

}  // namespace

void spread_k(const LayerPlan& plan, int layer, std::uint64_t step, std::span<int> k_per_token) {
  const auto tokens = static_cast<std::uint64_t>(k_per_token.size());
  const double share = std::clamp(static_cast<double>(plan.extra_k_share), 0.0, 1.0);
  for (std::uint64_t t = 0; t < tokens; ++t) {
    // The token's turn in this step: turns rotate, or a share of one half would always favour the
    // same streams.
    const std::uint64_t turn = (t + step + static_cast<std::uint64_t>(layer)) % tokens;
    const auto i = static_cast<double>(step * tokens + turn);
    const bool extra = std::floor((i + 1.0) * share) > std::floor(i * share);
    k_per_token[t] = plan.k + (extra ? 1 : 0);
  }
}

AdaptiveRouter::AdaptiveRouter(int experts, int reference_k, int max_tokens)
    : experts_(experts), reference_k_(reference_k) {
  THERMOE_EXPECT(1 <= reference_k && reference_k <= experts && max_tokens >= 1,
                 "a router needs 1 <= k={} <= experts={} and tokens={} >= 1", reference_k, experts,
                 max_tokens);
  const std::size_t picks = static_cast<std::size_t>(max_tokens) * experts;
  k_per_token_.resize(max_tokens);
  expert_.resize(picks);
  weight_.resize(picks);
  counts_.resize(experts);
  kept_mass_.resize(max_tokens);
  scratch_.resize(experts);
  workspace_.reserve(experts);
}

int AdaptiveRouter::slots(const RoutingPlan& plan, int layer) const {
  const LayerPlan& row = plan.layer(layer);
  return row.k + (row.extra_k_share > 0.0F && row.k < experts_ ? 1 : 0);
}

LayerRouting AdaptiveRouter::route(std::span<const float> logits, int tokens,
                                   const RoutingPlan& plan, int layer, std::uint64_t step) {
  THERMOE_EXPECT(plan.experts() == experts_ && layer >= 0 && layer < plan.layers(),
                 "layer {} of a plan of {} layers x {} experts does not fit {} experts", layer,
                 plan.layers(), plan.experts(), experts_);
  THERMOE_EXPECT(tokens >= 1 && tokens <= static_cast<int>(kept_mass_.size()) &&
                     logits.size() == static_cast<std::size_t>(tokens) * experts_,
                 "{} logits are not [{}, {}], at most {} tokens", logits.size(), tokens, experts_,
                 kept_mass_.size());
  const LayerPlan& row = plan.layer(layer);
  THERMOE_EXPECT(1 <= row.k && row.k <= experts_, "layer {}: k={} is not in 1..{}", layer, row.k,
                 experts_);
  const int slots = this->slots(plan, layer);
  const bool mixed = slots > row.k;
  if (mixed) spread_k(row, layer, step, std::span(k_per_token_).first(tokens));
  const RouterSpec router{.experts = experts_, .k = row.k};
  topk_route({.logits = logits.data(),
              .tokens = tokens,
              .router = &router,
              .plan = {.k_min = std::clamp(row.k_min, 1, row.k),
                       .k_per_token = mixed ? std::span<const int>(k_per_token_).first(tokens)
                                            : std::span<const int>{},
                       .selection_bias = plan.selection_bias(layer),
                       .activation_price = plan.activation_price(layer)},
              .expert = expert_.data(),
              .weight = weight_.data(),
              .slots = slots,
              .counts = counts_.data(),
              .kept_mass = kept_mass_.data(),
              .workspace = &workspace_});
  const auto picks = static_cast<std::size_t>(tokens) * slots;
  if (mixed || row.k != reference_k_) {
    // The kernel measures against the k it was given; quality is measured against the model's.
    for (int t = 0; t < tokens; ++t) {
      kept_mass_[t] =
          mass_share(logits.subspan(static_cast<std::size_t>(t) * experts_, experts_),
                     std::span(expert_).subspan(static_cast<std::size_t>(t) * slots, slots),
                     reference_k_, scratch_);
    }
  }
  return {.tokens = tokens,
          .slots = slots,
          .expert = std::span(expert_).first(picks),
          .weight = std::span(weight_).first(picks),
          .counts = counts_,
          .kept_mass = std::span(kept_mass_).first(tokens)};
}

}  // namespace thermoe
