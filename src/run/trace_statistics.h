// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "moe/router_logits.h"

namespace thermoe {

/// Which batches are drawn from a trace.
struct TraceSampling {
  std::vector<int> batches{};  ///< tokens of each
  int draws = 256;             ///< of each batch
  std::uint64_t seed = 1;
};

/// Distinct experts of a layer (D) that a batch's tokens pick, mean over layers.
struct ActiveExperts {
  int batch = 0;           ///< tokens
  double mean = 0.0;       ///< over draws
  double deviation = 0.0;  ///< standard, from draw to draw
  double uniform = 0.0;    ///< where each token picked k experts at random
};

/// How evenly a layer's experts are picked.
struct LayerLoad {
  double most = 0.0;     ///< picks of the busiest expert over those of the mean expert
  double entropy = 0.0;  ///< of the picks over experts, as a share of ln E: 1 is even
};

/// What a recorded router does by itself.
struct TraceStatistics {
  double recorded_active = 0.0;         ///< D of the samples as they are
  std::vector<ActiveExperts> active{};  ///< of each batch that was asked for
  std::vector<double> shares{};  ///< [k] of a token's own top-k mass: its best expert's first
  std::vector<LayerLoad> load{};
  LayerLoad uniform_load{};  ///< a layer's, where as many tokens picked at random
};

/// Counts what the router's own top-k picks; the same seed gives the same figures. A draw takes its
/// tokens from different samples, and from different places of a sample once each has given one.
/// Requires as many tokens as the largest batch, finite logits and at least one draw.
TraceStatistics trace_statistics(const RouterLogits& trace, const TraceSampling& sampling);

/// D of `batch` tokens that each pick k of the experts at random: E (1 - (1 - k / E)^B).
double uniform_active_experts(int experts, int k, double batch);

}  // namespace thermoe
