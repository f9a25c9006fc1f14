// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "kernel_backend.h"

namespace thermoe {

/// A routing problem that owns its memory.
struct RouteProblem {
  int tokens = 0;
  int experts = 0;
  int k = 1;
  int k_min = 1;
  ScoreFunction score = ScoreFunction::kSoftmax;
  bool renormalise = true;
  std::vector<float> logits{};
  std::vector<int> k_per_token{};
  std::vector<float> bias{};
  std::vector<float> price{};

  int k_of(int t) const {
    return k_per_token.empty() ? k : k_per_token[static_cast<std::size_t>(t)];
  }
  int slots() const;
};

struct RouteResult {
  std::vector<std::int32_t> expert{};
  std::vector<float> weight{};
  std::vector<std::int32_t> counts{};
  std::vector<float> kept_mass{};

  int active() const;
  bool operator==(const RouteResult&) const = default;
};

/// Runs a backend. Outputs start as garbage, so that what it does not write shows.
RouteResult route(const KernelBackend& backend, const RouteProblem& problem);

/// The rule of the header's text in float64, as naively as it can be said.
struct RouteOracle {
  std::vector<std::vector<int>> picks{};  ///< by token, best first
  std::vector<std::vector<double>> weight{};
  std::vector<double> kept_mass{};
  /// Smallest relative distance of any decision from its turning point, exact ties apart: below the
  /// rounding of float32 a backend may rightly decide otherwise.
  double margin = 1.0;
};
RouteOracle route_oracle(const RouteProblem& problem);

}  // namespace thermoe
