// SPDX-License-Identifier: Apache-2.0
#include "moe/policy_search.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

namespace thermoe {
namespace {

constexpr std::size_t kFewBatches = 16;
constexpr double kSearchTolerance = 0.0003;  // of D, on the few batches
constexpr int kPasses = 4;                   // over all batches, at most

}  // namespace

std::string_view to_string(Policy policy) {
  switch (policy) {
    case Policy::kPricing:
      return "pricing";
    case Policy::kOpportunistic:
      return "OPPORTUNISTIC";
    case Policy::kReducedK:
      return "reduced k";
  }
  return "";
}

RoutingPlan policy_plan(RoutingPlan plan, Policy policy, double knob, int k_min) {
  switch (policy) {
    case Policy::kPricing:
      for (int l = 0; l < plan.layers(); ++l) {
        plan.layer(l).k_min = k_min;
        std::ranges::fill(plan.activation_price(l), static_cast<float>(knob));
      }
      break;
    case Policy::kOpportunistic:
      plan.set_opportunistic(knob);
      break;
    case Policy::kReducedK:
      plan.set_fractional_k(knob);
      break;
  }
  return plan;
}

PolicySearch::PolicySearch(const SequenceScorer& scorer, const DecodeBatches& batches,
                           const PolicyScore& baseline, Policy policy, int k_min,
                           ScoringWatch watch)
    : scorer_(scorer),
      batches_(batches),
      baseline_(baseline),
      policy_(policy),
      k_min_(k_min),
      watch_(std::move(watch)),
      few_(some_of(batches, kFewBatches)),
      // A loss is at most one a token, so no expert is worth a price above the batch's streams.
      strongest_(policy == Policy::kPricing ? batches.rows + 1.0 : scorer.config().top_k - 1.0) {}

double PolicySearch::knob_at(double strength) const {
  return policy_ == Policy::kPricing ? strength : scorer_.config().top_k - strength;
}

std::optional<PolicyScore> PolicySearch::score(const DecodeBatches& batches,
                                               double strength) const {
  return score_policy(scorer_, batches,
                      policy_plan(scorer_.baseline(), policy_, knob_at(strength), k_min_), watch_);
}

/// Adds to `active_at_`. False where the watch ended it.
bool PolicySearch::try_strength(double strength) {
  if (active_at_.contains(strength)) return true;
  const std::optional<PolicyScore> score = this->score(few_, strength);
  if (!score) return false;
  active_at_[strength] = score->mean_active;
  return true;
}

std::optional<double> PolicySearch::strength_for(double share) {
  // The first guess of a price; the bracket doubles from it.
  double reach = policy_ == Policy::kPricing ? 0.05 : 1.0;
  if (!try_strength(0.0)) return std::nullopt;
  const double wanted = share * active_at_.begin()->second;
  while (active_at_.rbegin()->second > wanted && active_at_.rbegin()->first < strongest_) {
    reach = std::max(reach, 2.0 * active_at_.rbegin()->first);
    if (!try_strength(std::min(reach, strongest_))) return std::nullopt;
  }
  auto above = active_at_.begin();  // the last point with D >= wanted
  for (int i = 0;; ++i) {
    for (auto it = above; it != active_at_.end() && it->second >= wanted; ++it) above = it;
    const auto below = std::next(above);
    const double slack = kSearchTolerance * wanted;
    if (below == active_at_.end() || above->second - wanted <= slack) return above->first;
    const double width = below->first - above->first;
    if (wanted - below->second <= slack || width <= 1e-5 * below->first) return below->first;
    // Interpolated; every third time halved, as a curve may keep one end where it is.
    const double part =
        i % 3 == 2 ? 0.5 : (above->second - wanted) / (above->second - below->second);
    if (!try_strength(above->first + std::clamp(part, 0.02, 0.98) * width)) return std::nullopt;
  }
}

std::optional<PolicyPoint> PolicySearch::find(double share) {
  std::optional<PolicyPoint> nearest;
  double nearest_error = 0.0;
  double last = -1.0;
  for (int pass = 0; pass < kPasses; ++pass) {
    const std::optional<double> strength = strength_for(share / whole_over_few_);
    if (!strength) return std::nullopt;
    if (*strength == last) break;
    last = *strength;
    std::optional<PolicyScore> score = this->score(batches_, last);
    if (!score) return std::nullopt;
    const double reached = score->mean_active / baseline_.mean_active;
    whole_over_few_ = reached * active_at_.begin()->second / active_at_.at(last);
    const double error = std::abs(reached / share - 1.0);
    if (!nearest || error < nearest_error) {
      nearest = {
          .knob = knob_at(last), .score = *std::move(score), .reached = error <= kActiveTolerance};
      nearest_error = error;
    }
    if (nearest->reached) break;
  }
  return nearest;
}

}  // namespace thermoe
