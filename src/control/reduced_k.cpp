// SPDX-License-Identifier: Apache-2.0
#include "control/reduced_k.h"

#include <algorithm>
#include <cmath>

#include "control/plan_writer.h"

namespace thermoe {

ReducedKController::ReducedKController(const ControllerConfig& config)
    : config_(config), tick_(config) {}

Demand ReducedKController::at(double k) const {
  const auto low = static_cast<std::size_t>(std::floor(k)) - 1;
  const auto high = std::min(low + 1, static_cast<std::size_t>(config_.router.k) - 1);
  Demand sum{.cost = {}, .active = 0.0, .kept_mass = 0.0};
  const double share = 1.0 / static_cast<double>(recent_.size());
  for (const auto& by_k : recent_) {
    const Demand d = mix(by_k[low], by_k[high], k - std::floor(k));
    sum.cost += share * d.cost;
    sum.active += share * d.active;
    sum.kept_mass += share * d.kept_mass;
  }
  return sum;
}

double ReducedKController::choose() const {
  const auto meets = [&](double k) { return tick_.tracker().meets(config_.targets, at(k).cost); };
  double high = config_.router.k;
  if (meets(high)) return high;
  double low = 1.0;
  for (int i = 0; i < 24; ++i) {  // to 1e-6 of a k
    const double middle = 0.5 * (low + high);
    (meets(middle) ? low : high) = middle;
  }
  return low;
}

RoutingPlan ReducedKController::decide(const Observation& o) {
  const TickView view = tick_.begin(o);
  if (view.utilities) {
    std::vector<Demand> by_k;
    for (const RoutingStats& loads : plain_loads(*view.utilities))
      by_k.push_back(view.costs.demand(loads));
    recent_.push_back(std::move(by_k));
    if (recent_.size() > std::size_t{kRecentSamples}) recent_.pop_front();
  }
  if (recent_.empty()) return tick_.finish(o, view, {.plan = baseline_plan_of(config_)});
  const double k = choose();
  const Demand demand = at(k);
  return tick_.finish(
      o, view,
      {.plan = reduced_plan(config_, k),
       .saturated = k <= 1.0 && !tick_.tracker().meets(config_.targets, demand.cost),
       .demand = demand,
       .baseline = at(config_.router.k)});
}

}  // namespace thermoe
