// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "moe/adaptive_router.h"
#include "moe/expert_type.h"
#include "moe/router_logits.h"
#include "run/experiment_inputs.h"
#include "run/step_decoder.h"

namespace thermoe {

/// A recorded router in the place of a model: its samples in order and again from the first, each a
/// step whose tokens are the batch. What was recorded came from the model's own routing: that later
/// layers would see other activations under another plan is left out (docs/experiments.md).
///
/// A step of another number of sequences takes a token for each of its places. Place i is token
/// i % T of a sample (T tokens each), its block i / T of samples as far from the other blocks' as
/// the trace allows: in step s, block b of B reads sample (s + b * floor(S / B)) % S. So a place
/// and a step mean the same logits in every strategy, no token stands twice in a step, and the
/// first T places are the recorded batch.
class TraceDecoder final : public StepDecoder {
 public:
  /// `trace` must outlive this. Requires samples of one shape, and as many tokens in all of them as
  /// the longest step has sequences; absent: those of a sample.
  explicit TraceDecoder(const RouterLogits& trace, ExpertType experts = ExpertType::kSimple,
                        std::optional<int> most_sequences = {});

  const RoutingPlan& baseline() const override { return baseline_; }
  const RouterSpec& router() const override { return router_.router(); }
  void rewind() override { steps_ = 0; }
  /// Allocates nothing. Throws UsageError for more sequences than it was made for, and for none.
  RoutedStep next(const RoutingPlan& plan, std::optional<int> sequences = {}) override;

 private:
  const LogitSample& sample_of(int sequences);

  const RouterLogits& trace_;
  int tokens_;  // of a sample
  int most_;    // sequences of a step
  int stride_;  // samples between two blocks
  RoutingPlan baseline_;
  AdaptiveRouter router_;
  RoutingStats stats_{};
  LogitSample gathered_{};   // of a step that is no sample
  std::uint64_t steps_ = 0;  // since the first
};

/// Of the experiment's trace, for as many sequences as its steps may have.
std::unique_ptr<TraceDecoder> trace_decoder(const ExperimentInputs& inputs);

/// Sequences that steps on this trace may have: it has no more tokens.
int most_sequences(const RouterLogits& trace);

}  // namespace thermoe
