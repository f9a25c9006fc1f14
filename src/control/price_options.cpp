// SPDX-License-Identifier: Apache-2.0
#include "control/price_options.h"

#include <algorithm>

#include "core/errors.h"

namespace thermoe {
namespace {

LoadCosts load_costs(const ControllerConfig& c) {
  THERMOE_EXPECT(!c.calibration.empty(), "routing options need {}", "calibration samples");
  return {c.costs, largest_batch(c.calibration), c.variant};
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
  const LoadCosts costs = load_costs(c);
  const double share = 1.0 / static_cast<double>(c.calibration.size());
  std::vector<Demand> by_k(static_cast<std::size_t>(c.router.k), Demand{.kept_mass = 0.0});
  for (const LogitSample& sample : c.calibration) {
    const std::vector<RoutingStats> loads = plain_loads(Utilities(sample, c.router));
    for (std::size_t j = 0; j < by_k.size(); ++j) {
      const Demand demand = costs.demand(loads[j]);
      by_k[j].cost += share * demand.cost;
      by_k[j].active += share * demand.active;
      by_k[j].kept_mass += share * demand.kept_mass;
    }
  }
  std::vector<RoutingOption> options;
  for (int k = c.router.k; k >= 1; --k) {
    options.push_back(option_at(c, 0.0, by_k[static_cast<std::size_t>(k) - 1]));
    options.back().k = k;
  }
  return options;
}

}  // namespace thermoe
