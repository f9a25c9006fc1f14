// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "control/low_pass.h"
#include "core/serving.h"
#include "core/units.h"

namespace thermoe {

/// What requests ask of an engine and what they are given, smoothed over many of them: a batch
/// settles within a request's own time, and a period must not follow what it has just caused.
class ServingLoad {
 public:
  explicit ServingLoad(const ServingEngine& engine) : batch_limit_(engine.batch_limit) {}

  /// A tick of length `dt` in which steps were to start `paced` after one another: the shortest
  /// period in force, or what a step was believed to last where that was longer.
  void learn(const ServingTick& tick, Seconds dt, Seconds paced);

  /// Tokens a second that are to be generated: of requests that arrive by what those before asked
  /// for, and until some have finished what is generated. 0: none.
  double rate() const;
  /// Enough requests have finished to tell what one asks for.
  bool knows_requests() const;
  /// Of that and of what is generated the greater.
  double greatest_rate() const;
  /// Requests wait at the batch limit, or did within the last second.
  bool crowded() const { return crowded_; }
  /// Mean time between tokens over the period asked for: steps that read prompts are not paced.
  double stretch() const;
  /// Variance of the batch over its mean: 1 where requests come as they like and stay as long, 0
  /// where as many are always there. At most 1: more is a batch that has not settled.
  double dispersion() const;
  /// Mean, of the last seconds; absent until a first token came.
  std::optional<Seconds> to_first_token() const;

 private:
  double served() const { return served_.value(); }

  int batch_limit_;
  LowPass served_{Seconds(5.0)};     ///< tokens a second
  LowPass requests_{Seconds(20.0)};  ///< arrivals a second
  LowPass batch_{Seconds(30.0)}, batch_squared_{Seconds(30.0)};
  double finished_ = 0.0, tokens_of_finished_ = 0.0;  ///< the older the less
  double gaps_ = 0.0, paced_gaps_ = 0.0;              ///< likewise, seconds times tokens
  double first_tokens_ = 0.0, waits_ = 0.0;           ///< likewise
  bool crowded_ = false;
  Seconds uncrowded_for_{};
};

}  // namespace thermoe
