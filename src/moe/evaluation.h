// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/routing_plan.h"
#include "moe/decode_batches.h"
#include "moe/sequence_scorer.h"

namespace thermoe {

/// Who looks on while batches are scored, several at once.
struct ScoringWatch {
  const std::atomic<bool>* stop = nullptr;  ///< no further batch starts once it is true
  /// Share of the batches done. Called by one thread at a time, in no fixed thread.
  std::function<void(double share_done)> progress{};
};

struct DomainScore {
  std::string name{};
  std::int64_t bytes = 0;
  double bits_per_byte = 0.0;
};

/// Baseline bits/byte of every byte of every document, by domain. A document starts with 0x00 as
/// context; longer ones are read in windows of the model's context that overlap by half, so that
/// each byte but the first half window's has at least half a context before it. Absent where the
/// watch ended it.
std::optional<std::vector<DomainScore>> score_domains(const SequenceScorer& scorer,
                                                      const std::vector<DomainText>& text,
                                                      const ScoringWatch& watch);

/// What a plan does to decode batches. Bits are of the bytes that count; D, kept mass, quality loss
/// and loads are means (sums) over all tokens that were fed, those that fill batches up among them.
struct PolicyScore {
  std::int64_t bytes = 0;
  double bits_per_byte = 0.0;
  double mean_active = 0.0;   ///< distinct experts of a batch, mean over layers and positions
  double kept_mass = 0.0;     ///< mean over tokens and layers
  double quality_loss = 0.0;  ///< nats: mean of -ln(kept mass) over tokens and layers
  std::vector<std::int64_t> expert_tokens{};  ///< [layers, experts]
  std::vector<double> document_bits{};        ///< [documents] sum over a document's counted bytes
};

/// Absent where the watch ended it. The same whatever the number of threads.
std::optional<PolicyScore> score_policy(const SequenceScorer& scorer, const DecodeBatches& batches,
                                        const RoutingPlan& plan, const ScoringWatch& watch);

}  // namespace thermoe
