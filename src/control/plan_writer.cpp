// SPDX-License-Identifier: Apache-2.0
#include "control/plan_writer.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace thermoe {

RoutingPlan baseline_plan_of(const ControllerConfig& config) {
  RoutingPlan plan(config.layers, config.router.experts, config.router.k);
  if (config.variant.empty()) return plan;
  for (int l = 0; l < config.layers; ++l) {
    const auto row = plan.variant(l);
    std::copy_n(config.variant.begin() + static_cast<std::ptrdiff_t>(row.size()) * l, row.size(),
                row.begin());
  }
  return plan;
}

RoutingPlan priced_plan(const ControllerConfig& config, const PricingParameters& parameters,
                        double lambda) {
  RoutingPlan plan = baseline_plan_of(config);
  for (int l = 0; l < config.layers; ++l) {
    plan.layer(l).k = parameters.k;
    plan.layer(l).k_min = parameters.k_min;
    const auto bias = plan.selection_bias(l);
    const auto price = plan.activation_price(l);
    const std::size_t base = bias.size() * static_cast<std::size_t>(l);
    for (std::size_t e = 0; e < bias.size(); ++e) {
      if (!parameters.bias.empty()) bias[e] = parameters.bias[base + e];
      const float unit = parameters.unit_price.empty() ? 1.0F : parameters.unit_price[base + e];
      price[e] = static_cast<float>(lambda * unit);
    }
  }
  return plan;
}

RoutingPlan reduced_plan(const ControllerConfig& config, double k) {
  RoutingPlan plan = baseline_plan_of(config);
  plan.set_fractional_k(k);
  return plan;
}

RoutingPlan opportunistic_plan(const ControllerConfig& config, double keep) {
  RoutingPlan plan = baseline_plan_of(config);
  if (keep < config.router.k) plan.set_opportunistic(keep);
  return plan;
}

Decision decision_of(const ControllerConfig& config, Seconds now, RoutingPlan plan,
                     Seconds step_period) {
  return {.plan = std::move(plan),
          .step_period = step_period,
          .valid_until = now + config.guard.valid_ticks * config.tick};
}

double bias_norm(const RoutingPlan& plan) {
  double sum = 0.0;
  for (int l = 0; l < plan.layers(); ++l) {
    for (const float b : plan.selection_bias(l)) sum += static_cast<double>(b) * b;
  }
  return std::sqrt(sum);
}

}  // namespace thermoe
