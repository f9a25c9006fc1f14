// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/spread_extra.h"
#include "kernels/cuda/route_scores.cuh"

// What a call reads of plan, step and sample before it looks at a token.
namespace thermoe::cuda {

/// What of a call holds for all tokens of a batch.
struct RouteFlags {
  static constexpr unsigned kModelBias = 1;    ///< beta is not all 0
  static constexpr unsigned kPlanBias = 2;     ///< b is not all 0
  static constexpr unsigned kPriced = 4;       ///< a price is not 0, and takes effect
  static constexpr unsigned kFinitePrice = 8;  ///< one is not infinite: losses count
  static constexpr unsigned kFirstSlot = 16;   ///< the sample goes to its first slot
  static constexpr unsigned kSecondSlot = 32;  ///< to its second

  unsigned bits = 0;
  __device__ bool has(unsigned flag) const { return (bits & flag) != 0; }
};

/// What a call reads of plan and step but for the experts' own values. Read before anything is
/// waited for: each of these may come from far away.
struct StepPlan {
  __device__ explicit StepPlan(const TopkRouteArgs& a)
      : row(a.plan.row ? *a.plan.row : LayerPlan{.k = a.router.k, .k_min = 1}),
        state(a.step ? *a.step : StepState{}) {}

  LayerPlan row;
  StepState state;

  /// With k_min = k everything is guaranteed.
  __device__ bool prices_matter() const {
    return state.phase != StepState::kPrefill && (row.k_min < row.k || row.extra_k_share > 0.0F);
  }
  /// Of a batch of so many.
  __device__ int valid_tokens(int tokens) const {
    return state.valid_tokens < 0 ? tokens : min(state.valid_tokens, tokens);
  }
};

/// The flags that expert e alone sets.
__device__ inline unsigned flags_of(const TopkRouteArgs& a, const StepPlan& plan, int e) {
  unsigned flags = 0;
  if (a.router.bias && a.router.bias[e] != 0.0F) flags |= RouteFlags::kModelBias;
  if (a.plan.selection_bias && a.plan.selection_bias[e] != 0.0F) flags |= RouteFlags::kPlanBias;
  // Neither read waits for the other.
  const float price = a.plan.activation_price ? a.plan.activation_price[e] : 0.0F;
  const std::int32_t slot = a.sample.logits && e == 0 ? *a.sample.slot : -1;
  if (price != 0.0F && plan.prices_matter()) flags |= RouteFlags::kPriced;
  if (price != infinity()) flags |= RouteFlags::kFinitePrice;
  if (slot == 0) flags |= RouteFlags::kFirstSlot;
  if (slot == 1) flags |= RouteFlags::kSecondSlot;
  return flags;
}

/// Where a token stands in the call, and how many experts it takes.
struct TokenPlace {
  __device__ TokenPlace(const TopkRouteArgs& a, const StepPlan& plan, int batch, int token,
                        int valid)
      : row(std::int64_t{batch} * a.tokens + token) {
    const std::uint64_t step = plan.state.step + batch;
    const auto extra = [&](float share) {
      return has_extra(share, a.plan.layer, step, token, valid) ? 1 : 0;
    };
    const int whole = min(max(plan.row.k, 1), a.router.experts);
    k = min(whole + extra(plan.row.extra_k_share), min(a.router.experts, a.slots));
    k_min = min(min(max(plan.row.k_min, 1), whole) + extra(plan.row.extra_k_min_share), k);
  }

  std::int64_t row;
  int k;
  int k_min;
};

}  // namespace thermoe::cuda
