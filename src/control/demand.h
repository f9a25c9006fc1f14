// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "control/pricing.h"
#include "core/step_cost.h"

namespace thermoe {

/// What a plan asks of the hardware and takes from the model, by the cost model, a step.
struct Demand {
  Cost cost{};          ///< of the whole step
  double active = 0.0;  ///< mean distinct experts a layer
  double kept_mass = 1.0;
};
/// Linear between two demands: 0 gives a, 1 gives b.
Demand mix(const Demand& a, const Demand& b, double share);

/// StepCost tabulated by whole loads, so that a price costs microseconds to try.
class LoadCosts {
 public:
  /// `variant` [layers, experts] or empty (all 0).
  LoadCosts(const StepCost& costs, int tokens, std::span<const std::uint8_t> variant);

  /// Same as StepCost::step; loads up to `tokens`.
  Demand demand(const RoutingStats& stats) const;

 private:
  double repeat_;
  Cost constant_;
  std::size_t loads_;
  std::vector<Cost> table_{};  ///< [variants, tokens + 1]
  std::vector<std::uint8_t> variant_{};
};

/// [layers, experts] a_e, the energy of an expert's first token relative to the mean over experts,
/// times the layer's sensitivity (empty = 1): PricingParameters::unit_price.
std::vector<float> unit_prices(const StepCost& costs, int layers, int experts,
                               std::span<const std::uint8_t> variant,
                               std::span<const double> layer_sensitivity);

/// Mean demand over the most recent samples as a function of lambda. Averaging cuts the sampling
/// noise of D; the logits are taken as frozen (theory.md section 1).
class DemandModel {
 public:
  explicit DemandModel(int samples) : capacity_(static_cast<std::size_t>(samples)) {}

  void add(std::shared_ptr<const Utilities> utilities);
  /// Prices all samples by these parameters (only what has changed since the last call).
  void price(const PricingParameters& parameters);

  bool empty() const { return utilities_.empty(); }
  /// Requires samples and a call of `price` since the last `add`.
  Demand at(double lambda, const LoadCosts& costs) const;
  /// Every lambda at which some expert drops out, plus 0 and `closed`; ascending. Between two
  /// neighbours the demand is constant.
  std::vector<double> breakpoints() const;
  /// A lambda at which only the guaranteed experts are left.
  double closed() const;

 private:
  std::size_t capacity_;
  std::deque<std::shared_ptr<const Utilities>> utilities_{};
  std::deque<std::shared_ptr<const PricedSample>> priced_{};
  PricingParameters parameters_{};
};

/// A demand model of all `samples` (at least one); k experts a token in the baseline.
DemandModel demand_of(std::span<const LogitSample> samples, int k);
/// The largest number of tokens of a sample; at least 1.
int largest_batch(std::span<const LogitSample> samples);

/// The least lambda whose demand `meets(demand)`, by bisection over the breakpoints (demand falls
/// with lambda: theory.md eq. (9)). If none does, `reached` is false and the demand is the floor's.
struct PriceChoice {
  double lambda = 0.0;
  bool reached = true;
  Demand demand{};
};
template <class Meets>
PriceChoice least_price(const DemandModel& model, const LoadCosts& costs, const Meets& meets) {
  PriceChoice choice{.demand = model.at(0.0, costs)};
  if (meets(choice.demand)) return choice;
  const std::vector<double> lambdas = model.breakpoints();
  std::size_t low = 0;  // does not meet
  std::size_t high = lambdas.size() - 1;
  choice.lambda = lambdas[high];
  choice.demand = model.at(choice.lambda, costs);
  if (!meets(choice.demand)) {
    choice.reached = false;
    return choice;
  }
  while (high - low > 1) {
    const std::size_t middle = low + (high - low) / 2;
    const Demand demand = model.at(lambdas[middle], costs);
    if (meets(demand)) {
      high = middle;
      choice.lambda = lambdas[middle];
      choice.demand = demand;
    } else {
      low = middle;
    }
  }
  return choice;
}

}  // namespace thermoe
