// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "control/price_walk.h"
#include "control/pricing.h"
#include "core/step_cost.h"

namespace thermoe {

/// What a plan asks of the hardware and takes from the model, by the cost model, a step.
struct Demand {
  Cost cost{};          ///< of the whole step
  double active = 0.0;  ///< mean distinct experts a layer
  double kept_mass = 1.0;
  double quality_loss = 0.0;  ///< nats, as RoutingStats has it
};
/// To begin a sum with.
inline constexpr Demand kNoDemand{.kept_mass = 0.0};
/// How many recent samples a prediction averages over.
inline constexpr int kRecentSamples = 10;

/// sum + share * more.
Demand plus(const Demand& sum, const Demand& more, double share);

/// Linear between two demands: 0 gives a, 1 gives b.
Demand mix(const Demand& a, const Demand& b, double share);

/// StepCost tabulated by whole loads, so that a price costs microseconds to try.
class LoadCosts {
 public:
  /// `variant` [layers, experts] or empty (all 0).
  LoadCosts(const StepCost& costs, int tokens, std::span<const std::uint8_t> variant);

  /// Same as StepCost::step; loads up to `tokens`.
  Demand demand(const RoutingStats& stats) const;
  /// The same of loads that were only counted; nothing lost.
  Demand demand(const LoadHistogram& loads, int layers) const;

 private:
  double repeat_;
  Cost constant_;
  std::size_t loads_;
  std::vector<Cost> table_{};  ///< [variants, tokens + 1]
  std::vector<std::uint8_t> variant_{};
};

/// [layers, experts] a_e, the energy of an expert's first token relative to the mean over experts:
/// PricingParameters::unit_price.
std::vector<float> unit_prices(const StepCost& costs, int layers, int experts,
                               std::span<const std::uint8_t> variant);

/// Mean demand over the most recent samples as a function of lambda. Averaging cuts the sampling
/// noise of D; the logits are taken as frozen (theory.md section 1).
///
/// The samples are kept at the lambda that was last asked for, and what a move to another changes
/// is counted only: asking near the last one is cheap.
class DemandModel {
 public:
  /// `variant` [layers, experts] or empty (all 0).
  explicit DemandModel(int samples, std::vector<std::uint8_t> variant = {})
      : capacity_(static_cast<std::size_t>(samples)), variant_(std::move(variant)) {}

  void add(std::shared_ptr<const Utilities> utilities);
  /// Prices all samples by these parameters (only what has changed since the last call).
  void price(const PricingParameters& parameters);

  bool empty() const { return utilities_.empty(); }
  /// Requires samples and a call of `price` since the last `add`.
  Demand at(double lambda, const LoadCosts& costs);
  /// The same without its kept mass (1): what a search asks for.
  Demand cost_at(double lambda, const LoadCosts& costs);
  /// at(0), without a move.
  Demand plain(const LoadCosts& costs) const;

  /// The prices worth trying: 0, one between each two thresholds at which some expert drops out,
  /// and `closed`; ascending by number. Between two neighbours the demand is constant.
  std::size_t prices() const { return thresholds_.size() + 1; }
  double price_of(std::size_t number) const;
  /// A lambda at which only the guaranteed experts are left.
  double closed() const { return price_of(prices() - 1); }
  /// Number of the price nearest to the last one asked for.
  std::size_t last_number() const;

 private:
  std::size_t capacity_;
  std::vector<std::uint8_t> variant_;
  std::deque<std::shared_ptr<const Utilities>> utilities_{};
  std::deque<PriceWalk> walks_{};
  PricingParameters parameters_{};
  std::vector<float> merged_{};      ///< thresholds of all samples, ascending
  std::vector<float> thresholds_{};  ///< each value once, and 0
  double last_ = 0.0;
};

/// A demand model of all `samples` (at least one).
DemandModel demand_of(std::span<const LogitSample> samples, const RouterSpec& router,
                      const std::vector<std::uint8_t>& variant);
/// The largest number of tokens of a sample; at least 1.
int largest_batch(std::span<const LogitSample> samples);

/// The least lambda whose demand `meets(demand)`, judged without its kept mass (demand falls with
/// lambda: theory.md eq. (9)). Looked for from the last one, in strides that double, then by
/// bisection. If none does, `reached` is false and the demand is the floor's.
struct PriceChoice {
  double lambda = 0.0;
  bool reached = true;
  Demand demand{};
};
template <class Meets>
PriceChoice least_price(DemandModel& model, const LoadCosts& costs, const Meets& meets) {
  const Demand plain = model.plain(costs);
  if (meets(plain)) return {.demand = plain};
  const auto meets_at = [&](std::size_t number) {
    return meets(model.cost_at(model.price_of(number), costs));
  };
  const std::size_t last = model.prices() - 1;
  const std::size_t start = std::clamp<std::size_t>(model.last_number(), 1, last);
  std::size_t low = 0;      // does not meet
  std::size_t high = last;  // meets, once `reached`
  bool reached = meets_at(start);
  if (reached)
    high = start;
  else
    low = start;
  for (std::size_t stride = 16; reached ? high > 1 : high > low; stride *= 2) {
    if (reached) {
      const std::size_t next = high > stride ? high - stride : 0;
      if (next <= low) break;
      if (!meets_at(next)) {
        low = next;
        break;
      }
      high = next;
    } else {
      const std::size_t next = std::min(low + stride, last);
      if (meets_at(next)) {
        high = next;
        reached = true;
        break;
      }
      low = next;
    }
  }
  while (reached && high - low > 1) {
    const std::size_t middle = low + (high - low) / 2;
    (meets_at(middle) ? high : low) = middle;
  }
  const double lambda = model.price_of(high);
  return {.lambda = lambda, .reached = reached, .demand = model.at(lambda, costs)};
}

}  // namespace thermoe
