// SPDX-License-Identifier: Apache-2.0
#include "control/price_options.h"

#include <algorithm>

#include "control/keep_and_fill.h"
#include "core/errors.h"

namespace thermoe {
namespace {

LoadCosts load_costs(const ControllerConfig& c) {
  THERMOE_EXPECT(!c.calibration.empty(), "routing options need {}", "calibration samples");
  return {c.costs, largest_batch(c.calibration), c.variant};
}

/// Mean over the samples of what `loads_of` says of each count of experts in 1..k; k first.
template <class LoadsOf>
std::vector<RoutingOption> options_by_count(const ControllerConfig& c, const LoadsOf& loads_of) {
  const LoadCosts costs = load_costs(c);
  const double share = 1.0 / static_cast<double>(c.calibration.size());
  std::vector<Demand> by_count(static_cast<std::size_t>(c.router.k), kNoDemand);
  for (const LogitSample& sample : c.calibration) {
    const std::vector<RoutingStats> loads =
        loads_of(std::make_shared<const Utilities>(sample, c.router));
    for (std::size_t j = 0; j < by_count.size(); ++j) {
      by_count[j] = plus(by_count[j], costs.demand(loads[j]), share);
    }
  }
  std::vector<RoutingOption> options;
  for (auto demand = by_count.rbegin(); demand != by_count.rend(); ++demand) {
    options.push_back(option_at(c, 0.0, *demand));
  }
  return options;
}

}  // namespace

RoutingOption option_at(const ControllerConfig& c, double lambda, const Demand& demand) {
  return {.lambda = lambda,
          .k = c.router.k,
          .demand = demand,
          .period = std::max(c.step_period, demand.cost.latency),
          .power = mean_power(demand.cost, c.step_period, c.costs.active_idle)};
}

std::vector<RoutingOption> price_options(const ControllerConfig& c, int points) {
  THERMOE_EXPECT(points >= 1, "{} levels of price; at least 1 is needed", points);
  const LoadCosts costs = load_costs(c);
  DemandModel model = demand_of(c.calibration, c.router, c.variant);
  model.price({.k = c.router.k,
               .k_min = c.k_min,
               .unit_price = unit_prices(c.costs, c.layers, c.router.experts, c.variant)});
  const double most = model.at(0.0, costs).active;
  const double least = model.at(model.closed(), costs).active;
  std::vector<RoutingOption> options;
  for (int i = 0; i <= points; ++i) {
    const double level = most + (least - most) * i / points;
    // Half an expert in a thousand layers: the mean of the floor itself is not exact.
    const PriceChoice choice =
        least_price(model, costs, [&](const Demand& d) { return d.active <= level + 5e-4; });
    if (!options.empty() && options.back().lambda == choice.lambda) continue;
    options.push_back(option_at(c, choice.lambda, choice.demand));
  }
  return options;
}

std::vector<RoutingOption> fewer_expert_options(const ControllerConfig& c) {
  std::vector<RoutingOption> options = options_by_count(
      c, [](const std::shared_ptr<const Utilities>& u) { return plain_loads(*u); });
  for (std::size_t i = 0; i < options.size(); ++i) options[i].k = c.router.k - static_cast<int>(i);
  return options;
}

std::vector<RoutingOption> opportunistic_options(const ControllerConfig& c) {
  std::vector<RoutingOption> options =
      options_by_count(c, [&](const std::shared_ptr<const Utilities>& u) {
        const PricedSample sample(u, {.k = c.router.k});
        std::vector<RoutingStats> loads;
        for (int keep = 1; keep <= c.router.k; ++keep) loads.push_back(keep_and_fill(sample, keep));
        return loads;
      });
  for (std::size_t i = 0; i < options.size(); ++i) {
    options[i].keep = c.router.k - static_cast<int>(i);
  }
  return options;
}

}  // namespace thermoe
