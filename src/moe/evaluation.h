// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "core/routing_plan.h"
#include "moe/sequence_scorer.h"

namespace thermoe {

/// Text of one domain, a document an element. Views: the caller keeps the bytes.
struct DomainText {
  std::string name{};
  std::vector<std::span<const std::uint8_t>> documents{};
};

struct DomainScore {
  std::string name{};
  std::int64_t bytes = 0;
  double bits_per_byte = 0.0;
};

using EvaluationProgress = std::function<void(double share_done)>;

/// Baseline bits/byte of every byte of every document. A document starts with 0x00 as context;
/// longer ones are read in windows of the model's context that overlap by half, so that each byte
/// but the first half window's has at least half a context before it.
std::vector<DomainScore> score_domains(SequenceScorer& scorer, const std::vector<DomainText>& text,
                                       const EvaluationProgress& progress);

/// Decode batches for routing policies: `rows` windows of `length` bytes a batch, the domains in
/// turn, each from a document of its own where there are enough.
struct PolicyBatches {
  int rows = 16;
  int length = 513;
  std::vector<std::vector<std::uint8_t>> batches{};  ///< each [rows, length]
};
PolicyBatches make_policy_batches(const std::vector<DomainText>& text, int rows, int length,
                                  int batches, std::uint64_t seed);

/// Mean over the batches.
SequenceScore score_policy(SequenceScorer& scorer, const PolicyBatches& batches,
                           const RoutingPlan& plan);

/// Activation pricing with one price for all experts (identical costs), at a guaranteed k_min.
RoutingPlan priced_plan_of(RoutingPlan baseline, double price, int k_min);
/// k reduced to floor(k) for all tokens and one more for the fractional share of them.
RoutingPlan reduced_plan_of(RoutingPlan baseline, double k);

/// The smallest price (within 2 %) at which the mean of distinct experts is at most `active`.
struct PricedPoint {
  double price = 0.0;
  SequenceScore score{};
};
PricedPoint find_price(SequenceScorer& scorer, const PolicyBatches& batches, double active,
                       int k_min);
/// The same for a reduced k.
struct ReducedPoint {
  double k = 0.0;
  SequenceScore score{};
};
ReducedPoint find_reduced_k(SequenceScorer& scorer, const PolicyBatches& batches, double active);

}  // namespace thermoe
