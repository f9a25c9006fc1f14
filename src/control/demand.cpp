// SPDX-License-Identifier: Apache-2.0
#include "control/demand.h"

#include <algorithm>

#include "core/errors.h"

namespace thermoe {

Demand mix(const Demand& a, const Demand& b, double share) {
  return {.cost = (1.0 - share) * a.cost + share * b.cost,
          .active = (1.0 - share) * a.active + share * b.active,
          .kept_mass = (1.0 - share) * a.kept_mass + share * b.kept_mass};
}

LoadCosts::LoadCosts(const StepCost& costs, int tokens, std::span<const std::uint8_t> variant)
    : repeat_(costs.layer_repeat),
      constant_(costs.layer_constant),
      loads_(static_cast<std::size_t>(tokens) + 1),
      variant_(variant.begin(), variant.end()) {
  THERMOE_EXPECT(!costs.variants.empty(), "a StepCost needs at least one variant");
  for (const std::uint8_t v : variant_) {
    THERMOE_EXPECT(v < costs.variants.size(), "an expert has variant {}, costs know {}", v,
                   costs.variants.size());
  }
  for (const CostCurve& curve : costs.variants) {
    for (std::size_t n = 0; n < loads_; ++n) table_.push_back(curve.at(static_cast<double>(n)));
  }
}

Demand LoadCosts::demand(const RoutingStats& stats) const {
  Demand result{.cost = static_cast<double>(stats.layers) * constant_,
                .kept_mass = stats.kept_mass};
  THERMOE_EXPECT(variant_.empty() || variant_.size() == stats.counts.size(),
                 "{} variants for {} loads", variant_.size(), stats.counts.size());
  std::size_t active = 0;
  for (std::size_t i = 0; i < stats.counts.size(); ++i) {
    if (stats.counts[i] <= 0) continue;
    const auto n = static_cast<std::size_t>(stats.counts[i]);
    THERMOE_EXPECT(n < loads_, "load {} exceeds the batch of {}", n, loads_ - 1);
    result.cost += table_[(variant_.empty() ? 0 : variant_[i]) * loads_ + n];
    ++active;
  }
  result.cost = repeat_ * result.cost;
  result.active = stats.layers > 0 ? static_cast<double>(active) / stats.layers : 0.0;
  return result;
}

std::vector<float> unit_prices(const StepCost& costs, int layers, int experts,
                               std::span<const std::uint8_t> variant,
                               std::span<const double> layer_sensitivity) {
  const auto cells = static_cast<std::size_t>(layers) * static_cast<std::size_t>(experts);
  const auto activation = [&](std::size_t i) {
    return costs.variants.at(variant.empty() ? 0 : variant[i]).activation().energy.value;
  };
  double mean = 0.0;
  for (std::size_t i = 0; i < cells; ++i) mean += activation(i) / static_cast<double>(cells);
  std::vector<float> prices(cells, 1.0F);
  for (std::size_t i = 0; i < cells; ++i) {
    const double a = mean > 0.0 ? activation(i) / mean : 1.0;
    const std::size_t layer = i / static_cast<std::size_t>(experts);
    const double sensitivity = layer_sensitivity.empty() ? 1.0 : layer_sensitivity[layer];
    prices[i] = static_cast<float>(std::max(a * sensitivity, 1e-6));
  }
  return prices;
}

void DemandModel::add(std::shared_ptr<const Utilities> utilities) {
  utilities_.push_back(std::move(utilities));
  if (utilities_.size() <= capacity_) return;
  utilities_.pop_front();
  if (!priced_.empty()) priced_.pop_front();
}

void DemandModel::price(const PricingParameters& parameters) {
  if (!(parameters == parameters_)) {
    priced_.clear();
    parameters_ = parameters;
  }
  for (std::size_t i = priced_.size(); i < utilities_.size(); ++i) {
    priced_.push_back(std::make_shared<PricedSample>(utilities_[i], parameters_));
  }
}

Demand DemandModel::at(double lambda, const LoadCosts& costs) const {
  THERMOE_EXPECT(!priced_.empty() && priced_.size() == utilities_.size(),
                 "price the samples before asking for their demand");
  Demand sum{.cost = {}, .active = 0.0, .kept_mass = 0.0};
  for (const auto& sample : priced_) {
    const Demand d = costs.demand(sample->loads(lambda));
    sum.cost += d.cost;
    sum.active += d.active;
    sum.kept_mass += d.kept_mass;
  }
  const double share = 1.0 / static_cast<double>(priced_.size());
  return {
      .cost = share * sum.cost, .active = share * sum.active, .kept_mass = share * sum.kept_mass};
}

std::vector<double> DemandModel::breakpoints() const {
  std::vector<double> thresholds{0.0};
  for (const auto& sample : priced_) {
    thresholds.insert(thresholds.end(), sample->thresholds().begin(), sample->thresholds().end());
  }
  std::sort(thresholds.begin(), thresholds.end());
  thresholds.erase(std::unique(thresholds.begin(), thresholds.end()), thresholds.end());
  // An expert leaves just above its threshold: take the middle of the gap above, so that rounding
  // the price to float cannot move it to the other side.
  std::vector<double> lambdas{0.0};
  for (std::size_t i = 0; i + 1 < thresholds.size(); ++i) {
    lambdas.push_back(0.5 * (thresholds[i] + thresholds[i + 1]));
  }
  lambdas.push_back(closed());
  return lambdas;
}

double DemandModel::closed() const {
  double largest = 0.0;
  for (const auto& sample : priced_) {
    if (!sample->thresholds().empty())
      largest = std::max<double>(largest, sample->thresholds().back());
  }
  return 2.0 * largest + 1.0;
}

DemandModel demand_of(std::span<const LogitSample> samples, int k) {
  DemandModel model(static_cast<int>(samples.size()));
  for (const LogitSample& sample : samples) model.add(std::make_shared<const Utilities>(sample, k));
  return model;
}

int largest_batch(std::span<const LogitSample> samples) {
  int tokens = 1;
  for (const LogitSample& sample : samples) tokens = std::max(tokens, sample.tokens);
  return tokens;
}

}  // namespace thermoe
