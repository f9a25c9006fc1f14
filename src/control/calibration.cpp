// SPDX-License-Identifier: Apache-2.0
#include "control/calibration.h"

#include <algorithm>
#include <vector>

namespace thermoe {
namespace {

/// Energy of a token on an expert of each variant at the mean load, [variants]: the slope of the
/// lower convex envelope of the cost curve from (0, 0), which is (P)'s price per unit of x
/// (theory.md eq. (5)) once the jump at the first token is relaxed.
std::vector<double> envelope_slopes(const StepCost& costs, double mean_load) {
  std::vector<double> slopes;
  for (const CostCurve& curve : costs.variants) {
    slopes.push_back(curve.at(mean_load).energy.value / std::max(mean_load, 1.0));
  }
  return slopes;
}

/// b_e = nu * (slope_e - least slope), in utility per relative joule, within the clamp. Identical
/// experts have identical slopes: every b would be the same number, which changes no pick, so they
/// get zero. (Load-dependent prices between identical experts would spread the load and raise D.)
std::vector<float> price_biases(const ControllerConfig& c, const std::vector<double>& slopes,
                                double nu) {
  const double least = *std::min_element(slopes.begin(), slopes.end());
  const double most = *std::max_element(slopes.begin(), slopes.end());
  if (c.variant.empty() || nu == 0.0 || most <= least) return {};
  std::vector<float> bias(c.variant.size());
  std::transform(c.variant.begin(), c.variant.end(), bias.begin(), [&](std::uint8_t v) {
    return static_cast<float>(std::min(nu * (slopes[v] - least) / most, c.guard.bias_clamp));
  });
  return bias;
}

double mean_load(const ControllerConfig& c, const DemandModel& model, const LoadCosts& costs) {
  const double active = model.plain(costs).active;
  const int tokens = c.calibration.front().tokens;
  return active > 0.0 ? static_cast<double>(tokens) * c.router.k / active : 1.0;
}

bool better(const Calibration& a, const Calibration& b) {
  if (a.reached != b.reached) return a.reached;
  if (!a.reached) return a.demand.cost.energy < b.demand.cost.energy;
  return a.demand.kept_mass > b.demand.kept_mass;
}

}  // namespace

ControllerConfig at_reference(const ControllerConfig& config) {
  ControllerConfig c = config;
  if (!c.engine || c.calibration.empty()) return c;
  const int batch = largest_batch(c.calibration);
  c.costs = c.batch_costs->at(batch);
  c.engine.reset();
  c.step_period = {};
  if (c.objective == Objective::kThroughput || c.strategy == Strategy::kPriceAlone) return c;
  DemandModel model = demand_of(c.calibration, c.router, c.variant);
  model.price({.k = c.router.k, .k_min = c.k_min});
  const LoadCosts costs(c.costs, batch, c.variant);
  c.step_period = c.targets.between_tokens.value_or(model.plain(costs).cost.latency);
  return c;
}

std::vector<LogitSample> in_batches_of(int tokens, std::span<const LogitSample> samples) {
  int rows = 0;
  for (const LogitSample& sample : samples) rows += sample.tokens;
  if (rows == 0) return {samples.begin(), samples.end()};
  const int each = std::clamp(tokens, 1, rows);
  const int layers = samples.front().layers;
  const auto experts = static_cast<std::size_t>(samples.front().experts);
  std::vector<LogitSample> batches(
      static_cast<std::size_t>(rows / each),
      {.layers = layers, .tokens = each, .experts = samples.front().experts});
  for (int l = 0; l < layers; ++l) {
    auto batch = batches.begin();
    int left = each;
    for (const LogitSample& sample : samples) {
      for (int t = 0; t < sample.tokens && batch != batches.end(); ++t) {
        const auto row = sample.layer(l).subspan(static_cast<std::size_t>(t) * experts, experts);
        batch->logits.insert(batch->logits.end(), row.begin(), row.end());
        if (--left == 0) ++batch, left = each;
      }
    }
  }
  return batches;
}

bool meets_at_reference(const ControllerConfig& c, const Cost& cost) {
  const Watts power = mean_power(cost, c.step_period, c.costs.active_idle);
  if (c.targets.power && power > *c.targets.power) return false;
  if (c.targets.step_time && cost.latency > *c.targets.step_time) return false;
  if (c.targets.between_tokens && cost.latency > *c.targets.between_tokens) return false;
  return !(c.targets.temperature && c.thermal.steady(power) > *c.targets.temperature);
}

Calibration calibrate(const ControllerConfig& config) {
  const ControllerConfig c = at_reference(config);
  Calibration best;
  best.parameters = {.k = c.router.k, .k_min = c.k_min};
  best.parameters.unit_price = unit_prices(c.costs, c.layers, c.router.experts, c.variant);
  if (c.calibration.empty()) return best;

  DemandModel model = demand_of(c.calibration, c.router, c.variant);
  const LoadCosts costs(c.costs, largest_batch(c.calibration), c.variant);
  model.price(best.parameters);
  if (c.price) {
    best.lambda = *c.price;
    best.demand = model.at(*c.price, costs);
    return best;
  }
  const std::vector<double> slopes = envelope_slopes(c.costs, mean_load(c, model, costs));

  // A plain search over few values: no fixed-point iteration between b and lambda, which cycles.
  std::vector<double> strengths{0.0};
  if (!price_biases(c, slopes, 1.0).empty()) strengths = {0.0, 0.01, 0.02, 0.04, 0.08};
  bool first = true;
  for (int k_min = c.k_min; k_min <= std::min(c.router.k, c.k_min + 2); ++k_min) {
    for (const double nu : strengths) {
      Calibration tried{.parameters = best.parameters};
      tried.parameters.k_min = k_min;
      tried.parameters.bias = price_biases(c, slopes, nu);
      model.price(tried.parameters);
      const PriceChoice choice =
          least_price(model, costs, [&](const Demand& d) { return meets_at_reference(c, d.cost); });
      tried.lambda = choice.lambda;
      tried.reached = choice.reached;
      tried.demand = choice.demand;
      if (first || better(tried, best)) best = tried;
      first = false;
    }
  }
  return best;
}

}  // namespace thermoe
