// SPDX-License-Identifier: Apache-2.0
#include "control/expert_count.h"

#include <algorithm>
#include <cmath>

#include "control/keep_and_fill.h"
#include "control/plan_writer.h"
#include "core/errors.h"

namespace thermoe {
namespace {

/// Counts between two whole ones at which a mix of keep-and-fill is counted, not interpolated: the
/// union of a mixed batch is not linear in the share.
constexpr int kMixes = 4;

}  // namespace

ExpertCountController::ExpertCountController(const ControllerConfig& config)
    : config_(config), tick_(config) {
  THERMOE_EXPECT(
      config.strategy == Strategy::kReducedK || config.strategy == Strategy::kOpportunistic,
      "{} is no strategy of expert counts", to_string(config.strategy));
}

std::vector<Demand> ExpertCountController::demands(const TickView& view) const {
  std::vector<Demand> demands;
  if (config_.strategy == Strategy::kReducedK) {
    for (const RoutingStats& loads : plain_loads(*view.utilities))
      demands.push_back(view.costs.demand(loads));
    return demands;
  }
  const PricedSample sample(view.utilities, {.k = config_.router.k});
  for (int i = 0; i <= kMixes * (config_.router.k - 1); ++i) {
    demands.push_back(
        view.costs.demand(keep_and_fill(sample, 1.0 + static_cast<double>(i) / kMixes)));
  }
  return demands;
}

Demand ExpertCountController::at(double count) const {
  const std::size_t last = recent_.back().size() - 1;
  const double steps =  // between two whole counts
      static_cast<double>(last) / std::max(config_.router.k - 1, 1);
  const double place = (count - 1.0) * steps;
  const auto low = std::min(static_cast<std::size_t>(std::floor(place)), last);
  const auto high = std::min(low + 1, last);
  Demand sum = kNoDemand;
  const double share = 1.0 / static_cast<double>(recent_.size());
  for (const auto& by_count : recent_) {
    sum = plus(sum, mix(by_count[low], by_count[high], place - std::floor(place)), share);
  }
  return sum;
}

double ExpertCountController::choose() const {
  const auto meets = [&](double count) { return tick_.meets(at(count).cost); };
  double high = config_.router.k;
  if (meets(high)) return high;
  double low = 1.0;
  for (int i = 0; i < 24; ++i) {  // to 1e-6 of an expert
    const double middle = 0.5 * (low + high);
    (meets(middle) ? low : high) = middle;
  }
  return low;
}

RoutingPlan ExpertCountController::plan(double count) const {
  return config_.strategy == Strategy::kReducedK ? reduced_plan(config_, count)
                                                 : opportunistic_plan(config_, count);
}

Decision ExpertCountController::decide(const Observation& o) {
  const TickView view = tick_.begin(o);
  if (view.utilities) {
    recent_.push_back(demands(view));
    if (recent_.size() > std::size_t{kRecentSamples}) recent_.pop_front();
  }
  if (recent_.empty()) return tick_.finish(o, view, {.plan = baseline_plan_of(config_)});
  tick_.pace(o, view, at(config_.router.k));
  const double count = choose();
  const Demand demand = at(count);
  return tick_.finish(o, view,
                      {.plan = plan(count),
                       .saturated = count <= 1.0 && !tick_.meets(demand.cost),
                       .demand = demand,
                       .baseline = at(config_.router.k)});
}

}  // namespace thermoe
