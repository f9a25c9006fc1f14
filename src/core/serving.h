// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <vector>

#include "core/units.h"

namespace thermoe {

/// An engine with continuous batching: every step decodes a token of each sequence under way, and
/// requests join as others end.
struct ServingEngine {
  int batch_limit = 64;            ///< most sequences under way
  std::vector<int> graph_sizes{};  ///< ascending rows of its captured graphs; empty: none

  /// Rows that a step of so many sequences runs: those of the least graph that holds it, padding
  /// included; of what no graph holds, its own.
  int rows(int sequences) const {
    const auto graph = std::lower_bound(graph_sizes.begin(), graph_sizes.end(), sequences);
    return graph == graph_sizes.end() ? sequences : *graph;
  }
};

/// So many tokens came so long after the one before them of their sequence.
struct TokenGap {
  Seconds gap{};
  double tokens = 0.0;
};

/// What a request that has got its last token was given.
struct FinishedRequest {
  Seconds to_first_token{};  ///< since it arrived
  Seconds between_tokens{};  ///< mean of its gaps; 0 where it asked for one token
  int tokens = 0;            ///< generated
};

/// What such an engine did in a tick: times and counts that it has without a sensor.
struct ServingTick {
  double batch = 0.0;        ///< mean sequences that a decode step held
  double rows = 0.0;         ///< mean rows that those steps ran
  int running = 0;           ///< sequences under way at the end of the tick
  int waiting = 0;           ///< requests that then waited for a place
  int arrived = 0;           ///< requests
  int finished = 0;          ///< likewise
  double tokens = 0.0;       ///< generated
  double mixed_steps = 0.0;  ///< steps that read prompts, whether or not they decoded beside it
  std::vector<Seconds> to_first_token{};  ///< of requests whose first token came in the tick
  std::vector<TokenGap> between_tokens{};
  std::vector<FinishedRequest> requests{};  ///< the finished ones
};

}  // namespace thermoe
