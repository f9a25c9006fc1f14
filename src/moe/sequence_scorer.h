// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/routing_plan.h"
#include "moe/expert_type.h"
#include "moe/model_config.h"

namespace thermoe {

/// What a plan costs in quality and needs in experts, on given text.
struct SequenceScore {
  std::int64_t targets = 0;    ///< bytes predicted
  double bits_per_byte = 0.0;  ///< mean over targets
  double mean_active = 0.0;  ///< distinct experts of a decode batch, mean over layers and positions
  double kept_mass = 1.0;    ///< mean over tokens and layers
  std::vector<std::int64_t>
      expert_tokens{};  ///< [layers, experts] tokens that each expert received
};

struct ScorerOptions {
  ExpertType experts = ExpertType::kSimple;
  int int4_group = 32;
  std::optional<WeightDenominator> denominator{};  ///< instead of the checkpoint's
};

/// Scores sequences under a plan as `Decoder` would decode them as one batch, but all positions at
/// once: attention is causal, and routing takes the tokens of one position across the batch as a
/// decode batch. Equal to decoding up to rounding, several times faster; for sweeps and evaluation.
class SequenceScorer {
 public:
  /// Loads a checkpoint. Throws FormatError as `Decoder::load` does.
  static std::unique_ptr<SequenceScorer> load(const std::string& safetensors_path,
                                              const ScorerOptions& options = {});
  ~SequenceScorer();
  SequenceScorer(const SequenceScorer&) = delete;
  SequenceScorer& operator=(const SequenceScorer&) = delete;

  const ModelConfig& config() const;
  /// The model's own routing, with the variants of mixed experts where they were asked for.
  RoutingPlan baseline() const;

  /// bytes [batch, length] row-major; each row's bytes 1.. are predicted from those before.
  /// Requires 2 <= length <= context + 1 and a plan of the model's shape.
  SequenceScore score(std::span<const std::uint8_t> bytes, int batch, int length,
                      const RoutingPlan& plan);

  /// Next-byte logits [batch, length, vocab] after each position of bytes [batch, length].
  std::vector<float> logits(std::span<const std::uint8_t> bytes, int batch, int length,
                            const RoutingPlan& plan);

 private:
  struct Impl;
  explicit SequenceScorer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace thermoe
