// SPDX-License-Identifier: Apache-2.0
#include "core/router_spec.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/errors.h"
#include "core/named_values.h"

namespace thermoe {
namespace {

constexpr NamedValues<ScoreFunction, 3> kScores{{{ScoreFunction::kSoftmax, "softmax"},
                                                 {ScoreFunction::kSigmoid, "sigmoid"},
                                                 {ScoreFunction::kSqrtSoftplus, "sqrt_softplus"}}};
constexpr NamedValues<WeightDenominator, 3> kDenominators{
    {{WeightDenominator::kPicked, "picked"},
     {WeightDenominator::kReference, "reference"},
     {WeightDenominator::kNone, "none"}}};
constexpr NamedValues<LossScores, 2> kLossScores{
    {{LossScores::kUnbiased, "unbiased"}, {LossScores::kBiased, "biased"}}};

std::optional<RouterSpecProblem> find_group_problem(const RouterSpec& s) {
  if (s.groups < 1 || s.groups > s.experts || s.experts % s.groups != 0) {
    return RouterSpecProblem{"groups",
                             fmt::format("{} does not divide the {} experts", s.groups, s.experts)};
  }
  if (s.groups_kept < 1 || s.groups_kept > s.groups) {
    return RouterSpecProblem{"groups_kept", fmt::format("{} does not lie in 1..{}, the groups",
                                                        s.groups_kept, s.groups)};
  }
  const int held = s.experts / s.groups * s.groups_kept;
  if (s.k > held) {
    return RouterSpecProblem{
        "k", fmt::format("{} is more than the {} experts that {} of {} groups hold", s.k, held,
                         s.groups_kept, s.groups)};
  }
  return std::nullopt;
}

}  // namespace

std::string_view to_string(ScoreFunction score) { return name_of(kScores, score); }
std::optional<ScoreFunction> score_function_from(std::string_view name) {
  return value_of(kScores, name);
}
std::vector<std::string> score_function_names() { return all_names(kScores); }
std::string_view to_string(WeightDenominator denominator) {
  return name_of(kDenominators, denominator);
}
std::optional<WeightDenominator> weight_denominator_from(std::string_view name) {
  return value_of(kDenominators, name);
}
std::vector<std::string> weight_denominator_names() { return all_names(kDenominators); }
std::string_view to_string(LossScores scores) { return name_of(kLossScores, scores); }
std::optional<LossScores> loss_scores_from(std::string_view name) {
  return value_of(kLossScores, name);
}
std::vector<std::string> loss_scores_names() { return all_names(kLossScores); }

std::span<const float> RouterSpec::layer_bias(int layer) const {
  if (selection_bias.empty()) return {};
  const auto row = static_cast<std::size_t>(experts);
  const std::size_t first = static_cast<std::size_t>(layer) * row;
  THERMOE_EXPECT(layer >= 0 && first + row <= selection_bias.size(),
                 "layer {} is outside the {} layers of selection_bias", layer,
                 selection_bias.size() / std::max<std::size_t>(row, 1));
  return std::span(selection_bias).subspan(first, row);
}

std::optional<RouterSpecProblem> find_shape_problem(const RouterSpec& s) {
  if (s.experts < 1) {
    return RouterSpecProblem{"experts", fmt::format("{} is no number of experts", s.experts)};
  }
  if (s.k < 1 || s.k > s.experts) {
    return RouterSpecProblem{
        "k", fmt::format("{} does not lie in 1..{}, the number of experts", s.k, s.experts)};
  }
  if (auto problem = find_group_problem(s)) return problem;
  using Float = std::numeric_limits<float>;  // of the weights
  if (!(s.routed_scale >= Float::min() && s.routed_scale <= Float::max())) {
    return RouterSpecProblem{
        "routed_scale",
        fmt::format("{} is no positive number that a float holds, such as 2.5", s.routed_scale)};
  }
  return std::nullopt;
}

std::optional<RouterSpecProblem> find_problem(const RouterSpec& s, int layers) {
  if (auto problem = find_shape_problem(s)) return problem;
  const std::size_t cells = static_cast<std::size_t>(layers) * static_cast<std::size_t>(s.experts);
  if (!s.selection_bias.empty() && s.selection_bias.size() != cells) {
    return RouterSpecProblem{"selection_bias",
                             fmt::format("has {} values; {} layers of {} experts need {}",
                                         s.selection_bias.size(), layers, s.experts, cells)};
  }
  const auto bad =
      std::ranges::find_if_not(s.selection_bias, [](float b) { return std::isfinite(b); });
  if (bad != s.selection_bias.end()) {
    return RouterSpecProblem{"selection_bias",
                             fmt::format("holds {}; biases are finite numbers", *bad)};
  }
  return std::nullopt;
}

}  // namespace thermoe
