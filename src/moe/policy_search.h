// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "core/routing_plan.h"
#include "moe/decode_batches.h"
#include "moe/evaluation.h"
#include "moe/sequence_scorer.h"

namespace thermoe {

/// Ways to make a decode batch need fewer experts.
enum class Policy {
  kPricing,        ///< knob: one activation price for all experts, in units of u
  kOpportunistic,  ///< knob: experts that each token keeps, the rest from what the batch keeps
  kReducedK        ///< knob: experts a token
};
inline constexpr Policy kPolicies[] = {Policy::kPricing, Policy::kOpportunistic, Policy::kReducedK};
/// pricing, OPPORTUNISTIC, reduced k.
std::string_view to_string(Policy policy);

/// The model's own routing under a policy. `k_min` is what pricing leaves every token at least.
RoutingPlan policy_plan(RoutingPlan baseline, Policy policy, double knob, int k_min);

struct PolicyPoint {
  double knob = 0.0;
  PolicyScore score{};
  bool reached = false;  ///< D is the wanted one within `kActiveTolerance`
};
/// Of the wanted D: two policies at one cut differ by twice that at most.
inline constexpr double kActiveTolerance = 0.001;

/// Finds the knob of one policy that brings D to a share of the baseline's. It is looked for on a
/// few of the batches and then put right on all of them, whose figures are the only ones given.
class PolicySearch {
 public:
  /// The scorer, the batches and the baseline's score on them must outlive the search.
  PolicySearch(const SequenceScorer& scorer, const DecodeBatches& batches,
               const PolicyScore& baseline, Policy policy, int k_min, ScoringWatch watch);

  /// D = share of the baseline's. Takes the nearest point where the knob's range ends before it.
  /// Absent where the watch ended it.
  std::optional<PolicyPoint> find(double share);

 private:
  double knob_at(double strength) const;
  std::optional<PolicyScore> score(const DecodeBatches& batches, double strength) const;
  bool try_strength(double strength);
  std::optional<double> strength_for(double share);

  const SequenceScorer& scorer_;
  const DecodeBatches& batches_;
  const PolicyScore& baseline_;
  Policy policy_;
  int k_min_;
  ScoringWatch watch_;
  DecodeBatches few_;
  double strongest_;
  /// D of the few batches by strength, a knob that D never rises with; at 0 it is the baseline's.
  std::map<double, double> active_at_{};
  double whole_over_few_ = 1.0;  // of D's share of the baseline's, as last seen
};

}  // namespace thermoe
