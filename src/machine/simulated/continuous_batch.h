// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <vector>

#include "core/serving.h"
#include "core/units.h"
#include "machine/simulated/arrivals.h"

namespace thermoe {

/// What a step does.
struct BatchStep {
  int sequences = 0;      ///< that the step holds
  int decoding = 0;       ///< of those, that decode a token
  int prompt_tokens = 0;  ///< that it reads beside
  bool mixed() const { return prompt_tokens > 0; }
};

/// The requests of an engine with continuous batching, without time of its own: who waits, who
/// runs, and how far each is. First come, first served, no one is put back. Every step decodes a
/// token of each sequence whose prompt was read.
class ContinuousBatch {
 public:
  /// Requires both >= 1.
  ContinuousBatch(int batch_limit, int prompt_tokens_per_step);

  /// Requests come in order of time.
  void arrive(const Request& request, ServingTick& tick);
  bool empty() const { return running_.empty() && waiting_.empty(); }
  /// Whether a step that begins now reads prompts.
  bool reads_prompts() const;
  int running() const { return static_cast<int>(running_.size()); }
  int waiting() const { return static_cast<int>(waiting_.size()); }

  /// Takes in who waits and says what the step does. Requires that none is under way and that
  /// `empty` is false.
  BatchStep begin();
  /// The step that began is done: tokens are there, sequences end.
  void end(Seconds now, ServingTick& tick);

 private:
  struct Sequence {
    Request request{};
    int prompt_left = 0;
    int reading = 0;  ///< prompt tokens, in the step under way
    int tokens = 0;   ///< generated
    Seconds first{};  ///< when its first token came
  };

  int batch_limit_;
  int prompt_tokens_per_step_;
  std::deque<Request> waiting_{};
  std::vector<Sequence> running_{};
  Seconds last_end_{};  // of the last step: where a decoding sequence's last token came
};

}  // namespace thermoe
