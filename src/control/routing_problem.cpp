// SPDX-License-Identifier: Apache-2.0
#include "control/routing_problem.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>

#include "control/pricing.h"
#include "core/errors.h"

namespace thermoe {

RoutingProblem::RoutingProblem(std::span<const LogitSample> samples, const RouterSpec& router)
    : samples_(samples), router_(router), layers_(samples.front().layers) {
  const auto experts = static_cast<std::size_t>(router.experts);
  for (const LogitSample& s : samples) tokens_ += s.tokens;
  scores_.resize(static_cast<std::size_t>(layers_) * tokens_ * experts);
  std::size_t token = 0;
  for (const LogitSample& s : samples) {
    const Utilities u(s, router);
    if (u.reach() <= router.k) {
      throw UsageError(
          fmt::format("k = {}: each token takes all of the {} experts that it reaches; there is "
                      "nothing to price",
                      router.k, u.reach()));
    }
    const std::span<const float> v = u.all_selection();
    const std::size_t size = static_cast<std::size_t>(s.tokens) * experts;
    for (std::size_t l = 0; l < static_cast<std::size_t>(layers_); ++l) {
      std::copy_n(v.begin() + static_cast<std::ptrdiff_t>(l * size), size,
                  scores_.begin() + static_cast<std::ptrdiff_t>((l * tokens_ + token) * experts));
    }
    token += static_cast<std::size_t>(s.tokens);
  }
}

double RoutingProblem::typical_tau() const {
  const auto experts = static_cast<std::size_t>(router_.experts);
  std::vector<float> row(experts);
  double sum = 0.0;
  const std::size_t rows = static_cast<std::size_t>(layers_) * tokens_;
  for (std::size_t r = 0; r < rows; ++r) {
    std::copy_n(scores_.begin() + static_cast<std::ptrdiff_t>(r * experts), experts, row.begin());
    std::nth_element(row.begin(), row.begin() + router_.k, row.end(), std::greater<>());
    sum += *std::min_element(row.begin(), row.begin() + router_.k) - row[router_.k];
  }
  return std::clamp(sum / static_cast<double>(rows), 1e-4, 0.01);
}

PriceProblem RoutingProblem::problem(double tau) const {
  return {.layers = layers_,
          .tokens = tokens_,
          .experts = router_.experts,
          .k = router_.k,
          .scores = scores_,
          .tau = tau};
}

RoutingProblem::Hard RoutingProblem::hard(std::span<const double> price) const {
  Hard mean{.load = std::vector<double>(price.size(), 0.0), .kept_mass = 0.0};
  PricingParameters parameters{.k = router_.k, .k_min = router_.k};
  parameters.bias.assign(price.begin(), price.end());
  for (const LogitSample& s : samples_) {
    const PricedSample priced(std::make_shared<const Utilities>(s, router_), parameters);
    const RoutingStats stats = priced.loads(0.0);
    const double share = static_cast<double>(s.tokens) / tokens_;
    mean.kept_mass += share * stats.kept_mass;
    mean.quality_loss += share * stats.known_quality_loss();
    for (std::size_t c = 0; c < price.size(); ++c)
      mean.load[c] += stats.counts[c] / static_cast<double>(samples_.size());
  }
  return mean;
}

}  // namespace thermoe
