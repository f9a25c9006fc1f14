// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moe/adaptive_router.h"
#include "moe/expert_type.h"
#include "moe/router_logits.h"
#include "run/step_decoder.h"

namespace thermoe {

/// A recorded router in the place of a model: its samples in order and again from the first, each a
/// step whose tokens are the batch. What was recorded came from the model's own routing: that later
/// layers would see other activations under another plan is left out (docs/experiments.md).
class TraceDecoder final : public StepDecoder {
 public:
  /// `trace` must outlive this. Requires samples of one shape.
  explicit TraceDecoder(const RouterLogits& trace, ExpertType experts = ExpertType::kSimple);

  const RoutingPlan& baseline() const override { return baseline_; }
  const RouterSpec& router() const override { return router_.router(); }
  void rewind() override { steps_ = 0; }
  RoutedStep next(const RoutingPlan& plan, std::optional<int> sequences = {}) override;

 private:
  const RouterLogits& trace_;
  RoutingPlan baseline_;
  AdaptiveRouter router_;
  RoutingStats stats_{};
  std::uint64_t steps_ = 0;  // since the first
};

}  // namespace thermoe
