// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/routing_plan.h"
#include "kernels/backend.h"
#include "moe/expert_type.h"
#include "moe/model_config.h"

namespace thermoe {

/// What a plan costs in quality and needs in experts, on given text.
struct SequenceScore {
  std::int64_t targets = 0;    ///< bytes predicted
  double bits_per_byte = 0.0;  ///< mean over targets
  double mean_active = 0.0;  ///< distinct experts of a decode batch, mean over layers and positions
  double kept_mass = 1.0;    ///< mean over tokens and layers
  double quality_loss = 0.0;  ///< nats: mean of -ln(kept mass) over tokens and layers
  std::vector<float> bits{};  ///< [batch, length - 1] of each target
  std::vector<std::int64_t>
      expert_tokens{};  ///< [layers, experts] tokens that each expert received
};

struct ScorerOptions {
  ExpertType experts = ExpertType::kSimple;
  int int4_group = 32;
  std::optional<WeightDenominator> denominator{};  ///< absent: the model's own
  std::string device = "cpu";                      ///< of all tensors: cpu, cuda or cuda:N
  /// Of routing and experts; absent: the device's own. Another than that costs copies. kCuda runs
  /// bf16 and int4 experts, their activations rounded to bf16.
  std::optional<Backend> kernels{};
};

/// Scores sequences under a plan as `Decoder` would decode them as one batch, but all positions at
/// once: attention is causal, and routing takes the tokens of one position across the batch as a
/// decode batch. Equal to decoding up to rounding, several times faster; for sweeps and evaluation.
/// On the CPU a call runs on the calling thread alone; several threads may call at once, and what a
/// call gives does not depend on the others.
class SequenceScorer {
 public:
  /// Loads a checkpoint. Throws FormatError as `Decoder::load` does, UsageError where this program
  /// or machine has no such device, or it cannot run the experts.
  static std::unique_ptr<SequenceScorer> load(const std::string& safetensors_path,
                                              const ScorerOptions& options = {});
  ~SequenceScorer();
  SequenceScorer(const SequenceScorer&) = delete;
  SequenceScorer& operator=(const SequenceScorer&) = delete;

  const ModelConfig& config() const;
  /// How many threads are worth calling at once (LibTorch's choice, which OMP_NUM_THREADS sets; one
  /// where a GPU does the work).
  int threads() const;
  /// The model's own routing, with the variants of mixed experts where they were asked for.
  RoutingPlan baseline() const;

  /// bytes [batch, length] row-major; each row's bytes 1.. are predicted from those before.
  /// Requires 2 <= length <= context + 1 and a plan of the model's shape.
  SequenceScore score(std::span<const std::uint8_t> bytes, int batch, int length,
                      const RoutingPlan& plan) const;

  /// Next-byte logits [batch, length, vocab] after each position of bytes [batch, length].
  std::vector<float> logits(std::span<const std::uint8_t> bytes, int batch, int length,
                            const RoutingPlan& plan) const;

 private:
  struct Impl;
  explicit SequenceScorer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace thermoe
