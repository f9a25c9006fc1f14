// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/torch.h>

#include <cstdint>

#include "control/controller.h"
#include "core/routing_plan.h"
#include "moe/plan_router.h"

namespace thermoe {

/// Who goes where in one layer.
struct Routing {
  at::Tensor indices;  ///< [tokens, k] i32, best first; -1 where a token takes fewer
  at::Tensor weights;  ///< [tokens, k] f32 from the unbiased probabilities; rows sum to 1
  at::Tensor counts;   ///< [tokens / batch_size, experts] i32: tokens an expert received, by batch
  double kept_mass = 1.0;  ///< mean over tokens of the kept share of the token's own top-k mass
};

/// The router of one layer: gate logits and batch size in, expert indices and mixing weights out.
/// It decides nothing by itself; what the strategies differ in is the plan that they let in:
///   BASELINE            none: plain top-k, bit for bit
///   STATIC_OPTIMAL      the first plan that it is given, for good
///   KERNEL_AWARE_TTHA   every plan (REDUCED_K too)
class AdaptiveRouter {
 public:
  /// Requires 1 <= k <= experts and 0 <= layer.
  AdaptiveRouter(Strategy strategy, int layer, int experts, int k);

  /// Takes the layer's row of `plan` as the strategy says. Requires the layer in the plan.
  void adopt(const RoutingPlan& plan);

  /// gate_logits [tokens, experts] f32 on the CPU. Each run of `batch_size` tokens is one decode
  /// batch: prices act on the experts that the batch needs together. Requires tokens to be a
  /// multiple of it.
  Routing route(const at::Tensor& gate_logits, std::int64_t batch_size);

  Strategy strategy() const { return strategy_; }

 private:
  Strategy strategy_;
  int layer_;
  int experts_;
  int k_;
  RoutingPlan plan_;
  bool adopted_ = false;
  std::uint64_t step_ = 0;
};

}  // namespace thermoe
