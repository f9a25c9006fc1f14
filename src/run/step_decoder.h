// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "core/logit_sample.h"
#include "core/router_spec.h"
#include "core/routing_plan.h"
#include "core/routing_stats.h"

namespace thermoe {

/// What a model predicted in a step, and what really followed.
struct Prediction {
  std::span<const float> logits{};          ///< [streams, vocab] of the next byte
  std::span<const std::uint8_t> targets{};  ///< [streams], the bytes that really follow
  std::span<const int> restarts{};          ///< streams that began a piece of text with this step
};

/// One decode step. Views: valid until the decoder's next step.
struct RoutedStep {
  const RoutingStats& stats;               ///< loads and kept mass
  const LogitSample& sample;               ///< gate logits, before the score function
  std::optional<Prediction> prediction{};  ///< absent: the step was routed and no more
};

/// The data plane as the experiment loop sees it: steps, each routed under a plan. Text through a
/// model (run/forced_decode.h) or a recorded router (run/trace_decoder.h).
class StepDecoder {
 public:
  virtual ~StepDecoder() = default;
  /// The BASELINE plan: shape, k and expert precisions of the model.
  virtual const RoutingPlan& baseline() const = 0;
  /// How the model routes without a plan.
  virtual const RouterSpec& router() const = 0;
  /// Back to the first step: strategies that are compared decode the same steps.
  virtual void rewind() = 0;
  /// Of so many sequences, or of as many as it has. Throws UsageError where it has no other number.
  virtual RoutedStep next(const RoutingPlan& plan, std::optional<int> sequences = {}) = 0;
};

}  // namespace thermoe
