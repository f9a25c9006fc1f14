// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/router_spec.h"
#include "core/routing_plan.h"
#include "kernels/aligned_vector.h"
#include "kernels/topk_route.h"

namespace thermoe {

/// Who goes where, for one layer and one batch. Views into the router's buffers.
struct LayerRouting {
  int tokens = 0;
  int slots = 0;                           ///< picks a token, empty ones included
  std::span<const std::int32_t> expert{};  ///< [tokens, slots], -1 = empty
  std::span<const float> weight{};         ///< [tokens, slots], as the router's denominator says
  std::span<const std::int32_t> counts{};  ///< [experts] tokens an expert received
  std::span<const float> kept_mass{};      ///< [tokens] share of the mass of the model's own picks
  ExpertOrder order{};                     ///< the picks sorted for the experts
};

/// The router of an MoE layer that a plan adapts: the model's own scores and picks, activation
/// pricing and selection bias as in kernels/topk_route.h. It decides nothing by itself; what the
/// strategies (BASELINE, STATIC_OPTIMAL, KERNEL_AWARE_TTHA, …) differ in is the plan that their
/// controller publishes, and a plan of zeros is plain top-k, bit for bit. One batch is one decode
/// step's tokens: prices act on the union of their picks. Keeps buffers, so that a step allocates
/// nothing. Decoding routes through it as it is, scoring through moe/tensor_routing.h; training
/// needs gradients and has moe/training_routing.h, which picks and weighs alike under BASELINE.
class AdaptiveRouter {
 public:
  /// Kept mass is measured against what `router` alone would pick, with its own k.
  AdaptiveRouter(RouterSpec router, int max_tokens);

  /// logits [tokens, experts]. `step` only rotates the tokens of the plan's two shares. Valid until
  /// the next call.
  LayerRouting route(std::span<const float> logits, int tokens, const RoutingPlan& plan, int layer,
                     std::uint64_t step);

  const RouterSpec& router() const { return router_; }
  int experts() const { return router_.experts; }
  /// Picks a token under a layer's row, empty ones included. Requires the layer in the plan.
  int slots(const RoutingPlan& plan, int layer) const;

 private:
  RouterSpec router_;
  int max_tokens_;
  std::vector<std::int32_t> expert_;
  std::vector<float> weight_;
  std::vector<std::int32_t> counts_;
  std::vector<float> kept_mass_;
  std::vector<std::int32_t> first_;
  std::vector<std::int32_t> pair_;
  AlignedVector<std::byte> workspace_;
};

}  // namespace thermoe
