// SPDX-License-Identifier: Apache-2.0
#include "control/demand.h"

#include <algorithm>
#include <iterator>

#include "core/errors.h"

namespace thermoe {

Demand plus(const Demand& sum, const Demand& more, double share) {
  return {.cost = sum.cost + share * more.cost,
          .active = sum.active + share * more.active,
          .kept_mass = sum.kept_mass + share * more.kept_mass,
          .quality_loss = sum.quality_loss + share * more.quality_loss};
}

Demand mix(const Demand& a, const Demand& b, double share) {
  return plus(plus(kNoDemand, a, 1.0 - share), b, share);
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
                .kept_mass = stats.kept_mass,
                .quality_loss = stats.known_quality_loss()};
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
                               std::span<const std::uint8_t> variant) {
  const auto cells = static_cast<std::size_t>(layers) * static_cast<std::size_t>(experts);
  const auto activation = [&](std::size_t i) {
    return costs.variants.at(variant.empty() ? 0 : variant[i]).activation().energy.value;
  };
  double mean = 0.0;
  for (std::size_t i = 0; i < cells; ++i) mean += activation(i) / static_cast<double>(cells);
  std::vector<float> prices(cells, 1.0F);
  for (std::size_t i = 0; i < cells; ++i) {
    const double a = mean > 0.0 ? activation(i) / mean : 1.0;
    prices[i] = static_cast<float>(std::max(a, 1e-6));
  }
  return prices;
}

Demand LoadCosts::demand(const LoadHistogram& loads, int layers) const {
  Demand result{.cost = static_cast<double>(layers) * constant_};
  int active = 0;
  for (std::size_t v = 0; v < loads.variants(); ++v) {
    const auto counts = loads.of(v);
    for (std::size_t n = 1; n < counts.size(); ++n) {
      if (counts[n] == 0) continue;
      THERMOE_EXPECT(n < loads_ && v * loads_ < table_.size(),
                     "load {} of variant {} exceeds the costs of {} variants up to {}", n, v,
                     table_.size() / loads_, loads_ - 1);
      result.cost += static_cast<double>(counts[n]) * table_[v * loads_ + n];
      active += counts[n];
    }
  }
  result.cost = repeat_ * result.cost;
  result.active = layers > 0 ? static_cast<double>(active) / layers : 0.0;
  return result;
}

void DemandModel::add(std::shared_ptr<const Utilities> utilities) {
  utilities_.push_back(std::move(utilities));
  if (utilities_.size() <= capacity_) return;
  utilities_.pop_front();
  if (walks_.empty()) return;
  std::vector<float> left;
  left.reserve(merged_.size());
  const auto& gone = walks_.front().sample().thresholds();
  std::set_difference(merged_.begin(), merged_.end(), gone.begin(), gone.end(),
                      std::back_inserter(left));
  merged_ = std::move(left);
  walks_.pop_front();
}

void DemandModel::price(const PricingParameters& parameters) {
  if (!(parameters == parameters_)) {
    walks_.clear();
    merged_.clear();
    parameters_ = parameters;
  }
  for (std::size_t i = walks_.size(); i < utilities_.size(); ++i) {
    walks_.emplace_back(std::make_shared<PricedSample>(utilities_[i], parameters_), variant_);
    const auto& more = walks_.back().sample().thresholds();
    std::vector<float> all(merged_.size() + more.size());
    std::merge(merged_.begin(), merged_.end(), more.begin(), more.end(), all.begin());
    merged_ = std::move(all);
  }
  thresholds_.assign(1, 0.0F);
  thresholds_.reserve(merged_.size() + 1);
  std::copy_if(merged_.begin(), merged_.end(), std::back_inserter(thresholds_),
               [this](float x) { return x != thresholds_.back(); });
}

Demand DemandModel::cost_at(double lambda, const LoadCosts& costs) {
  THERMOE_EXPECT(!walks_.empty() && walks_.size() == utilities_.size(),
                 "price the samples before asking for their demand");
  last_ = lambda;
  Demand sum{.cost = {}, .active = 0.0};
  const double share = 1.0 / static_cast<double>(walks_.size());
  for (PriceWalk& walk : walks_) {
    walk.move_to(lambda);
    const Demand d = costs.demand(walk.histogram(), walk.sample().utilities().layers());
    sum.cost += d.cost;
    sum.active += d.active;
  }
  return {.cost = share * sum.cost, .active = share * sum.active};
}

Demand DemandModel::at(double lambda, const LoadCosts& costs) {
  if (lambda == 0.0) return plain(costs);
  Demand demand = cost_at(lambda, costs);
  demand.kept_mass = 0.0;
  for (PriceWalk& walk : walks_) {
    const KeptMass kept = walk.kept();
    demand.kept_mass += kept.mean();
    demand.quality_loss += kept.quality_loss();
  }
  demand.kept_mass /= static_cast<double>(walks_.size());
  demand.quality_loss /= static_cast<double>(walks_.size());
  return demand;
}

Demand DemandModel::plain(const LoadCosts& costs) const {
  THERMOE_EXPECT(!walks_.empty() && walks_.size() == utilities_.size(),
                 "price the samples before asking for their demand");
  Demand sum = kNoDemand;
  for (const PriceWalk& walk : walks_) {
    Demand d = costs.demand(walk.plain_histogram(), walk.sample().utilities().layers());
    d.kept_mass = walk.plain_kept().mean();
    d.quality_loss = walk.plain_kept().quality_loss();
    sum = plus(sum, d, 1.0);
  }
  return plus(kNoDemand, sum, 1.0 / static_cast<double>(walks_.size()));
}

double DemandModel::price_of(std::size_t number) const {
  if (number == 0) return 0.0;
  if (number >= thresholds_.size()) return 2.0 * double{thresholds_.back()} + 1.0;
  // An expert leaves just above its threshold: take the middle of the gap above, so that rounding
  // the price to float cannot move it to the other side.
  return 0.5 * (double{thresholds_[number - 1]} + double{thresholds_[number]});
}

std::size_t DemandModel::last_number() const {
  const auto above = std::lower_bound(thresholds_.begin(), thresholds_.end(), last_,
                                      [](float x, double lambda) { return x < lambda; });
  return static_cast<std::size_t>(above - thresholds_.begin());
}

DemandModel demand_of(std::span<const LogitSample> samples, const RouterSpec& router,
                      const std::vector<std::uint8_t>& variant) {
  DemandModel model(static_cast<int>(samples.size()), variant);
  for (const LogitSample& sample : samples) {
    model.add(std::make_shared<const Utilities>(sample, router));
  }
  return model;
}

int largest_batch(std::span<const LogitSample> samples) {
  int tokens = 1;
  for (const LogitSample& sample : samples) tokens = std::max(tokens, sample.tokens);
  return tokens;
}

}  // namespace thermoe
