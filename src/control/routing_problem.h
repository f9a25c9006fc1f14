// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "control/shadow_prices.h"
#include "core/logit_sample.h"
#include "core/router_spec.h"

namespace thermoe {

/// The scores of several sampled steps as one batch of (P), and how its prices route.
class RoutingProblem {
 public:
  /// Requires samples of one shape but for their tokens. Throws UsageError where nothing can be
  /// priced: each token takes all experts that it reaches.
  RoutingProblem(std::span<const LogitSample> samples, const RouterSpec& router);

  /// Mean over tokens of what parts a token's last pick from its next best, within 1e-4..0.01, as
  /// in eq. (13).
  double typical_tau() const;
  /// Without resources.
  PriceProblem problem(double tau) const;

  /// What top-k by v - price runs, a mean step.
  struct Hard {
    std::vector<double> load{};  ///< [layers, experts]
    double kept_mass = 1.0, quality_loss = 0.0;
  };
  Hard hard(std::span<const double> price) const;

 private:
  std::span<const LogitSample> samples_;
  RouterSpec router_;
  int layers_, tokens_ = 0;      ///< tokens of all samples together
  std::vector<float> scores_{};  ///< [layers, tokens, experts]
};

}  // namespace thermoe
