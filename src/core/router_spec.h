// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace thermoe {

/// p of a gate logit x: softmax over the layer's experts, 1 / (1 + e^-x), sqrt(ln(1 + e^x)).
enum class ScoreFunction { kSoftmax, kSigmoid, kSqrtSoftplus };
/// softmax, sigmoid, sqrt_softplus.
std::string_view to_string(ScoreFunction score);
std::optional<ScoreFunction> score_function_from(std::string_view name);
std::vector<std::string> score_function_names();

/// What the scores of a token's picks are divided by to give mixing weights.
enum class WeightDenominator {
  kPicked,     ///< their own sum: weights sum to 1 whatever runs
  kReference,  ///< the sum over the picks that the model would have run: what is dropped is missing
  kNone,       ///< 1: the scores themselves
};
/// picked, reference, none.
std::string_view to_string(WeightDenominator denominator);
std::optional<WeightDenominator> weight_denominator_from(std::string_view name);
std::vector<std::string> weight_denominator_names();

/// Which scores say what a token loses with an expert: the model's p, or p + beta by which it
/// picks.
enum class LossScores { kUnbiased, kBiased };
/// unbiased, biased.
std::string_view to_string(LossScores scores);
std::optional<LossScores> loss_scores_from(std::string_view name);
std::vector<std::string> loss_scores_names();

/// How a model's router turns a token's gate logits into picks and weights (docs/theory.md). One
/// for all MoE layers, but for beta.
struct RouterSpec {
  int experts = 0;
  int k = 0;  ///< experts a token
  ScoreFunction score = ScoreFunction::kSoftmax;
  /// Experts are `groups` equal consecutive runs; a token picks inside its `groups_kept` best, by
  /// the sum of a group's two best p + beta (DeepSeek-V3, arXiv 2412.19437). 1 of 1: not limited.
  int groups = 1;
  int groups_kept = 1;
  WeightDenominator denominator = WeightDenominator::kPicked;
  double routed_scale = 1.0;  ///< factor on every weight
  LossScores loss_scores = LossScores::kUnbiased;
  /// beta [layers, experts], the model's own bias: added to p for selection, not to weights. Empty:
  /// none.
  std::vector<float> selection_bias{};

  /// Some experts are out of a token's reach.
  bool group_limited() const { return groups_kept < groups; }
  /// [experts], or empty.
  std::span<const float> layer_bias(int layer) const;
  bool operator==(const RouterSpec&) const = default;
};

/// What is wrong with a spec, and where.
struct RouterSpecProblem {
  std::string key{};      ///< the field's name
  std::string problem{};  ///< value and remedy
};
/// Nothing where a router of so many layers can be such; the second leaves selection_bias out.
std::optional<RouterSpecProblem> find_problem(const RouterSpec& spec, int layers);
std::optional<RouterSpecProblem> find_shape_problem(const RouterSpec& spec);

}  // namespace thermoe
