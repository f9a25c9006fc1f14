// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/routing_plan.h"
#include "kernels/topk_route.h"

namespace thermoe {

/// Who goes where, for one layer and one batch. Views into the router's buffers.
struct LayerRouting {
  int tokens = 0;
  int slots = 0;                           ///< picks a token, empty ones included
  std::span<const std::int32_t> expert{};  ///< [tokens, slots], -1 = empty
  std::span<const float> weight{};         ///< [tokens, slots], rows sum to 1
  std::span<const std::int32_t> counts{};  ///< [experts] tokens an expert received
  std::span<const float> kept_mass{};      ///< [tokens] share of the token's own top-k mass
};

/// How many experts each of a batch's tokens takes under a layer's plan: k, and k + 1 for
/// `extra_k_share` of all (token, step) pairs. The share is spread evenly (Bresenham) over tokens
/// and rotates from step to step, so that it holds for each token over time too.
void spread_k(const LayerPlan& plan, int layer, std::uint64_t step, std::span<int> k_per_token);

/// The router of an MoE layer that a plan adapts: softmax, activation pricing and selection bias as
/// in kernels/topk_route.h. It decides nothing by itself; what the strategies (BASELINE,
/// STATIC_OPTIMAL, KERNEL_AWARE_TTHA, …) differ in is the plan that their controller publishes, and
/// a plan of zeros is plain top-k, bit for bit. One batch is one decode step's tokens: prices act
/// on the union of their picks. Keeps buffers, so that a step allocates nothing. Decoding routes
/// through it as it is, scoring through moe/tensor_routing.h; training needs gradients and has
/// moe/training_routing.h, which picks and weighs alike under BASELINE.
class AdaptiveRouter {
 public:
  /// `reference_k` is the model's own k, against which kept mass is measured.
  AdaptiveRouter(int experts, int reference_k, int max_tokens);

  /// logits [tokens, experts]. `step` only rotates the tokens of `extra_k_share`. Valid until the
  /// next call.
  LayerRouting route(std::span<const float> logits, int tokens, const RoutingPlan& plan, int layer,
                     std::uint64_t step);

  int experts() const { return experts_; }
  /// Picks a token under a layer's row, empty ones included. Requires the layer in the plan.
  int slots(const RoutingPlan& plan, int layer) const;

 private:
  int experts_;
  int reference_k_;
  std::vector<int> k_per_token_;
  std::vector<std::int32_t> expert_;
  std::vector<float> weight_;
  std::vector<std::int32_t> counts_;
  std::vector<float> kept_mass_;
  std::vector<float> scratch_;  // [experts]
  TopkRouteWorkspace workspace_;
};

}  // namespace thermoe
