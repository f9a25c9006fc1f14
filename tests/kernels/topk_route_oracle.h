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
  float extra_k_share = 0.0F;
  float extra_k_min_share = 0.0F;
  int layer = 0;
  StepState step{};
  std::vector<float> bias{};
  std::vector<float> price{};
  std::vector<float> model_bias{};
  int groups = 1;
  int groups_kept = 1;
  double scale = 1.0;
  bool fill_slots = false;

  int valid() const { return step.valid_tokens < 0 ? tokens : step.valid_tokens; }
  /// Of a token that is no padding.
  int k_of(int t) const;
  int k_min_of(int t) const;
  int slots() const;
  RouterSpec router() const;
};

struct RouteResult {
  std::vector<std::int32_t> expert{};
  std::vector<float> weight{};
  std::vector<std::int32_t> counts{};
  std::vector<float> kept_mass{};
  std::vector<float> masked_logits{};
  std::vector<std::int32_t> first{};  ///< of the ExpertOrder
  std::vector<std::int32_t> pair{};

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
