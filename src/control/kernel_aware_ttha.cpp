// SPDX-License-Identifier: Apache-2.0
#include "control/kernel_aware_ttha.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "control/adapter_limits.h"
#include "control/plan_writer.h"

namespace thermoe {
namespace {

/// Adapter-only needs a price to scale even where the calibration found slack. Small, as what is
/// above the calibrated price is lost from the first tick: so little leaves a quality loss of less
/// than a thousandth of a nat.
constexpr double kLeastPrior = 0.001;

}  // namespace

KernelAwareTtha::KernelAwareTtha(const ControllerConfig& config,
                                 std::unique_ptr<PlanAdapter> adapter)
    : config_(config),
      tick_(config),
      prior_(tick_.calibration().parameters),
      fixed_lambda_(config.targets.any() ? std::max(tick_.calibration().lambda, kLeastPrior) : 0.0),
      model_(kRecentSamples, config.variant),
      adapted_(kRecentSamples, config.variant),
      adapter_(std::move(adapter)) {
  // The dual must be able to price whatever is not vital; a k_min that suits the reference state
  // would keep it from a cap that a tenant has made tighter.
  prior_.k_min = config.k_min;
}

std::string KernelAwareTtha::adapt(const Observation& o, const TickView& view,
                                   PricingParameters& parameters) {
  tick_.state().losses.reset();
  if (!adapter_ || !view.utilities || view.fault) return {};
  const bool alone = config_.mode == TthaMode::kAdapterOnly;
  const AdapterOutput out =
      adapter_->update_ttha({.observation = o,
                             .utilities = view.utilities,
                             .costs = view.costs,
                             .tracker = tick_.tracker(),
                             .prior = prior_,
                             .lambda = alone ? fixed_lambda_ : dual_lambda_,
                             .expected = expected_,
                             .shadow_price = alone ? 0.0 : shadow_price(view, o),
                             .relative_prices = !alone});
  if (!out.finite()) {
    adapter_->restart();
    return "the adapter diverged (NaN) and starts anew";
  }
  tick_.state().losses = out.losses;
  parameters = adapted(prior_, within_limits(config_, prior_, out));
  return {};
}

double KernelAwareTtha::shadow_price(const TickView& view, const Observation& o) const {
  // Dropping an expert at the threshold costs lambda / (L T kept) nats and saves one activation.
  double activation = 0.0;
  for (const CostCurve& curve : o.costs.variants) {
    activation += curve.activation().latency.value / static_cast<double>(o.costs.variants.size());
  }
  const double saved = o.costs.layer_repeat * activation;
  if (saved <= 0.0 || dual_lambda_ <= 0.0) return 0.0;
  const double rows = static_cast<double>(config_.layers) * view.utilities->tokens();
  const double full = plain_loads(*view.utilities).back().mean_active() * config_.layers * saved +
                      o.costs.layer_repeat * config_.layers * o.costs.layer_constant.latency.value;
  return dual_lambda_ * full /
         (saved * rows * std::max(expected_ ? expected_->kept_mass : 1.0, 1e-3));
}

PriceChoice KernelAwareTtha::choose(DemandModel& model, const TickView& view) const {
  if (const Pacer* pacer = tick_.pacer(); pacer != nullptr && pacer->alone()) {
    return {.reached = pacer->reached(), .demand = model.plain(view.costs)};
  }
  if (config_.mode == TthaMode::kAdapterOnly) {
    return {.lambda = fixed_lambda_, .demand = model.at(fixed_lambda_, view.costs)};
  }
  return least_price(model, view.costs, [&](const Demand& d) { return tick_.meets(d.cost); });
}

void KernelAwareTtha::learn_samples(const TickView& view) {
  if (!view.utilities) return;
  model_.add(view.utilities);
  if (adapter_) adapted_.add(view.utilities);
}

Decision KernelAwareTtha::decide(const Observation& o) {
  const TickView view = tick_.begin(o);
  learn_samples(view);
  if (model_.empty()) {  // nothing is known of the router yet
    return tick_.finish(o, view, {.plan = baseline_plan_of(config_)});
  }
  prior_.unit_price = unit_prices(o.costs, config_.layers, config_.router.experts, config_.variant);
  PricingParameters parameters = prior_;
  const std::string fault = adapt(o, view, parameters);
  model_.price(prior_);
  tick_.pace(o, view, model_.plain(view.costs));
  PriceChoice choice = choose(model_, view);
  if (tick_.state().losses) {  // the adapter has proposed
    adapted_.price(parameters);
    const PriceChoice proposal = choose(adapted_, view);
    // Accepted or not, the adapter learns at the price that its own proposal needs.
    dual_lambda_ = proposal.lambda;
    expected_ = proposal.demand;
    const bool better = proposal.reached && proposal.demand.kept_mass > choice.demand.kept_mass;
    if (config_.mode == TthaMode::kAdapterOnly || better) {
      choice = proposal;
    } else {
      parameters = prior_;
    }
  }
  return tick_.finish(o, view,
                      {.plan = priced_plan(config_, parameters, choice.lambda),
                       .lambda = choice.lambda,
                       .saturated = !choice.reached,
                       .demand = choice.demand,
                       .baseline = model_.plain(view.costs),
                       .fault = fault});
}

}  // namespace thermoe
