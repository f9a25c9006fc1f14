// SPDX-License-Identifier: Apache-2.0
#include "control/adapter_limits.h"

#include <algorithm>
#include <cmath>

#include "core/errors.h"

namespace thermoe {

bool AdapterOutput::finite() const {
  const auto number = [](float x) { return std::isfinite(x); };
  return std::all_of(bias.begin(), bias.end(), number) &&
         std::all_of(log_price.begin(), log_price.end(), number) && std::isfinite(losses.total);
}

AdapterOutput within_limits(const ControllerConfig& c, const PricingParameters& prior,
                            AdapterOutput output) {
  const auto most = static_cast<float>(c.guard.bias_clamp);
  for (std::size_t i = 0; i < output.bias.size(); ++i) {
    const float base = prior.bias.empty() ? 0.0F : prior.bias[i];
    const float wanted = base + output.bias[i];
    const float given = std::clamp(wanted, -most, most);
    if (given != wanted) output.bias[i] = given - base;
  }
  const auto steepest = static_cast<float>(c.adapter.log_price_clamp);
  for (float& x : output.log_price) x = std::clamp(x, -steepest, steepest);
  return output;
}

PricingParameters adapted(PricingParameters prior, const AdapterOutput& output) {
  THERMOE_EXPECT(!output.log_price.empty() && output.bias.size() == prior.unit_price.size(),
                 "{} biases and {} log prices for {} unit prices", output.bias.size(),
                 output.log_price.size(), prior.unit_price.size());
  const std::size_t experts = output.bias.size() / output.log_price.size();
  if (prior.bias.empty()) prior.bias.assign(output.bias.size(), 0.0F);
  for (std::size_t i = 0; i < prior.bias.size(); ++i) {
    prior.bias[i] += output.bias[i];
    prior.unit_price[i] *= std::exp(output.log_price[i / experts]);
  }
  return prior;
}

}  // namespace thermoe
