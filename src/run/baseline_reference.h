// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "report/metrics_row.h"
#include "run/text_pieces.h"

namespace thermoe {

/// What BASELINE predicted for each byte of the run, from its own pass with its own KV cache. Other
/// strategies, which decode the same bytes in the same order, are compared with it step by step.
class BaselineReference {
 public:
  /// Log-probabilities are kept for every `kl_every`-th step (0: for none), bits for all: 16 KB a
  /// sampled step of 16 streams, which check_experiment bounds.
  explicit BaselineReference(int kl_every) : kl_every_(kl_every) {}

  /// Adds the next step of the BASELINE pass. logits [streams, vocab]; nats [streams] as
  /// `target_nats` has them; `restarts`: the streams that begin a piece of text with this step.
  void record(std::span<const float> logits, std::span<const double> nats,
              std::span<const int> restarts = {});
  std::size_t steps() const { return bits_.size(); }

  /// Quality of a strategy's predictions in step `step`. A step beyond the recording has no
  /// comparison.
  StepQuality compare(std::size_t step, std::span<const float> logits,
                      std::span<const double> nats) const;
  const TextPieces& pieces() const { return pieces_; }

 private:
  bool sampled(std::size_t step) const;

  int kl_every_;
  TextPieces pieces_{};
  std::vector<double> bits_{};                         // a step: mean bits a byte
  std::vector<std::vector<float>> log_probability_{};  // a sampled step: [streams, vocab], nats
};

/// -ln p(target) of each stream, p = softmax(logits). logits [streams, vocab]; targets [streams].
std::vector<double> target_nats(std::span<const float> logits,
                                std::span<const std::uint8_t> targets);
/// Mean over streams, in bits.
double bits_per_byte(std::span<const double> nats);

}  // namespace thermoe
