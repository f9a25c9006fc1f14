// SPDX-License-Identifier: Apache-2.0
#include "cost/perturbation.h"

#include <cmath>

namespace thermoe {
namespace {

constexpr double kLeastEnergyFactor = 0.1;

CostCurve apply(const PerturbationFactors& factors, const CostCurve& curve) {
  std::vector<CostCurve::Point> points = curve.points();
  for (CostCurve::Point& p : points) p.cost = factors.apply(p.cost);
  return points.empty() ? CostCurve() : CostCurve(std::move(points));
}

}  // namespace

StepCost PerturbationFactors::apply(const StepCost& step) const {
  StepCost changed = step;
  changed.layer_constant = apply(step.layer_constant);
  for (CostCurve& curve : changed.variants) curve = thermoe::apply(*this, curve);
  return changed;
}

PerturbationFactors Perturbation::factors(std::optional<Celsius> temperature,
                                          std::optional<Watts> measured) const {
  PerturbationFactors f;
  if (thermal && temperature && std::isfinite(temperature->value)) {
    const Celsius above = *temperature - thermal->reference;
    f.energy = std::max(kLeastEnergyFactor, 1.0 + thermal->energy_per_c * above.value);
  }
  if (power && measured && std::isfinite(measured->value)) {
    const double beyond = std::max(0.0, *measured / power->limit - power->knee);
    f.latency = 1.0 + power->slope * beyond;
  }
  return f;
}

}  // namespace thermoe
