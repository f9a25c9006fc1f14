// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "kernel_backend.h"

namespace thermoe {

/// A routing problem that owns its memory.
struct RouteProblem {
  int tokens = 0;
  int experts = 0;
  int k = 1;                    ///< the router's
  std::optional<int> plan_k{};  ///< the plan's, where it is another
  int k_min = 1;
  ScoreFunction score = ScoreFunction::kSoftmax;
  WeightDenominator denominator = WeightDenominator::kPicked;
  LossScores loss_scores = LossScores::kUnbiased;
  std::vector<float> logits{};  ///< what `type` can hold
  FloatType type = FloatType::kF32;
  std::vector<int> k_per_token{};
  std::vector<int> k_min_per_token{};
  std::vector<float> bias{};
  std::vector<float> price{};
  std::vector<float> model_bias{};
  int groups = 1;
  int groups_kept = 1;
  double scale = 1.0;
  std::optional<int> valid{};
  bool fill_slots = false;

  int k_of(int t) const {
    return k_per_token.empty() ? plan_k.value_or(k) : k_per_token[static_cast<std::size_t>(t)];
  }
  int k_min_of(int t) const {
    return k_min_per_token.empty() ? k_min : k_min_per_token[static_cast<std::size_t>(t)];
  }
  int slots() const;
  RouterSpec router() const;
};

struct RouteResult {
  std::vector<std::int32_t> expert{};
  std::vector<float> weight{};
  std::vector<std::int32_t> counts{};
  std::vector<float> kept_mass{};
  std::vector<float> masked_logits{};

  int active() const;
  bool operator==(const RouteResult&) const = default;
};

/// Runs a backend. Outputs start as garbage, so that what it does not write shows.
RouteResult route(const KernelBackend& backend, const RouteProblem& problem);

/// The same value in 16 bits. Requires that they can hold it.
std::uint16_t narrowed(float value, FloatType type);

/// The rule of the header's text in float64, as naively as it can be said. Padding has no picks.
struct RouteOracle {
  std::vector<std::vector<int>> picks{};  ///< by token, best first
  std::vector<std::vector<double>> weight{};
  std::vector<double> kept_mass{};
  /// By token, and of the decisions on prices: smallest relative distance from a turning point,
  /// exact ties apart. Below the rounding of float32 a backend may rightly decide otherwise.
  std::vector<double> margin{};
  double price_margin = 1.0;

  /// Of a whole batch: with prices one token's decision is all tokens'.
  double smallest_margin() const;
};
RouteOracle route_oracle(const RouteProblem& problem);

}  // namespace thermoe
