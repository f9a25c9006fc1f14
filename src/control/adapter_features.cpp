// SPDX-License-Identifier: Apache-2.0
#include "control/adapter_features.h"

#include <algorithm>
#include <cmath>

namespace thermoe {
namespace {

/// Hardware metrics relative to their targets: features 4..8.
std::vector<float> hardware_features(const ControllerConfig& c, const AdapterTick& tick) {
  const Observation& o = tick.observation;
  const Demand ran = tick.costs.demand(o.stats);
  const Forecast now = tick.tracker.forecast(ran.cost);
  std::vector<float> f(5, 0.0F);
  if (c.targets.power) f[0] = static_cast<float>(now.power / *c.targets.power - 1.0);
  if (c.targets.temperature && tick.tracker.temperature().started()) {
    f[1] = static_cast<float>(
        (tick.tracker.temperature().temperature() - *c.targets.temperature).value / 10.0);
  }
  if (c.targets.step_time)
    f[2] = static_cast<float>(o.metrics.step_time / *c.targets.step_time - 1.0);
  f[3] = static_cast<float>(std::log1p(tick.lambda));
  f[4] = static_cast<float>(ran.active / c.router.experts);
  for (float& x : f) x = std::clamp(x, -4.0F, 4.0F);
  return f;
}

/// Mean utility of each expert, [layers, experts].
std::vector<float> mean_utilities(const Utilities& u) {
  std::vector<float> mean(
      static_cast<std::size_t>(u.layers()) * static_cast<std::size_t>(u.experts()), 0.0F);
  for (int l = 0; l < u.layers(); ++l) {
    for (int t = 0; t < u.tokens(); ++t) {
      const auto row = u.row(l, t);
      for (std::size_t e = 0; e < row.size(); ++e) {
        mean[static_cast<std::size_t>(l) * row.size() + e] +=
            row[e] / static_cast<float>(u.tokens());
      }
    }
  }
  return mean;
}

}  // namespace

std::vector<float> adapter_features(const ControllerConfig& c, const AdapterTick& tick) {
  const Observation& o = tick.observation;
  const std::vector<float> hardware = hardware_features(c, tick);
  const std::vector<float> utility = mean_utilities(*tick.utilities);
  double activation = 0.0;
  for (const CostCurve& curve : o.costs.variants) {
    activation += curve.activation().energy.value / static_cast<double>(o.costs.variants.size());
  }
  const float even = static_cast<float>(c.router.k) / static_cast<float>(c.router.experts);
  std::vector<float> features;
  features.reserve(utility.size() * kAdapterFeatures);
  for (std::size_t i = 0; i < utility.size(); ++i) {
    const std::size_t variant = c.variant.empty() ? 0 : c.variant[i];
    const double load = o.stats.counts[i];
    const double energy = o.costs.variants[variant].at(load).energy.value;
    features.push_back(activation > 0.0 ? static_cast<float>(energy / activation) : 0.0F);
    features.push_back(static_cast<float>(load / std::max(o.stats.tokens, 1)));
    features.push_back(utility[i] / even);
    features.push_back(variant == 0 ? 0.0F : 1.0F);
    features.insert(features.end(), hardware.begin(), hardware.end());
  }
  return features;
}

}  // namespace thermoe
