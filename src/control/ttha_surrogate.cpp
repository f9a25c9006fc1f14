// SPDX-License-Identifier: Apache-2.0
#include "control/ttha_surrogate.h"

#include <algorithm>
#include <tuple>

namespace thermoe {
namespace {

constexpr double kNarrowest = 1e-4, kWidest = 0.01;  // bounds of tau
constexpr double kBeyondReach = -1e6;  // v outside the token's groups: never picked, yet finite
constexpr double kGateFloor = 0.5;     // tau_a = kGateFloor * tau + kGateShare * price
constexpr double kGateShare = 0.25;

/// The value of `exact` with the gradient of `smooth`: the surrogate only lends its slope.
torch::Tensor anchored(const torch::Tensor& smooth, double exact) {
  return smooth - smooth.detach() + exact;
}

torch::Tensor hinge_squared(const torch::Tensor& excess) { return torch::relu(excess).square(); }

}  // namespace

torch::Tensor view(std::span<const float> values, at::IntArrayRef shape) {
  return torch::from_blob(const_cast<float*>(values.data()), shape, torch::kFloat32);
}

double selection_temperature(const Utilities& u) {
  const int k = u.k();
  if (k == u.experts()) return kWidest;  // nothing is left out
  const torch::NoGradGuard off;
  const auto v = view(u.all_selection(), {u.layers() * u.tokens(), u.experts()});
  const auto best = std::get<0>(v.topk(k + 1, -1));
  const auto gap = best.select(-1, k - 1) - best.select(-1, k);
  return std::clamp(gap.clamp_max(kWidest).mean().item<double>(), kNarrowest, kWidest);
}

torch::Tensor gate_width(const torch::Tensor& price, double tau) {
  return kGateFloor * tau + kGateShare * price.detach();
}

torch::Tensor fermi_selection(const torch::Tensor& score, int k, double tau) {
  torch::Tensor mu, slope;
  const auto slope_of = [tau](const torch::Tensor& x) {
    return ((x * (1.0 - x)).sum(-1, true) / tau).clamp_min(1.0);
  };
  {
    const torch::NoGradGuard off;
    const auto best =
        std::get<0>(score.detach().topk(std::min<std::int64_t>(k + 1, score.size(-1)), -1));
    mu = 0.5 * (best.select(-1, k - 1) + best.select(-1, best.size(-1) - 1)).unsqueeze(-1);
    for (int i = 0; i < 4; ++i) {
      const auto x = torch::sigmoid((score.detach() - mu) / tau);
      const double reach = 2.0 * tau;
      mu = mu + ((x.sum(-1, true) - k) / slope_of(x)).clamp(-reach, reach);
    }
    slope = slope_of(torch::sigmoid((score.detach() - mu) / tau));
  }
  const auto first = torch::sigmoid((score - mu) / tau);
  return torch::sigmoid((score - mu - (first.sum(-1, true) - k) / slope) / tau);
}

ExpertCosts expert_costs(const StepCost& costs, const std::vector<std::uint8_t>& variant,
                         const RoutingStats& loads) {
  ExpertCosts c;
  for (std::size_t i = 0; i < loads.counts.size(); ++i) {
    const CostCurve& curve = costs.variants[variant.empty() ? 0 : variant[i]];
    const Cost first = costs.layer_repeat * curve.activation();
    const Cost more = costs.layer_repeat * curve.marginal(std::max<double>(loads.counts[i], 1.0));
    c.energy.push_back(static_cast<float>(first.energy.value));
    c.latency.push_back(static_cast<float>(first.latency.value));
    c.energy_slope.push_back(static_cast<float>(more.energy.value));
    c.latency_slope.push_back(static_cast<float>(more.latency.value));
  }
  return c;
}

Soft soft_demand(const torch::Tensor& u, const torch::Tensor& bias, const torch::Tensor& price,
                 const Smoothing& by, const PricedSample& hard, const ExpertCosts& costs, int k) {
  const std::int64_t layers = u.size(0), tokens = u.size(1), experts = u.size(2);
  const Utilities& of = hard.utilities();
  const auto v = of.plain() ? u
                            : view(of.all_selection(), {layers, tokens, experts})
                                  .to(u.scalar_type())
                                  .clamp_min(kBeyondReach);
  const auto x = fermi_selection(v - bias.unsqueeze(1), k, by.tau);
  const auto next = view(hard.next_score(), {layers, tokens, 1}).to(u.scalar_type());
  const auto loss = (x * torch::relu((of.biased_losses() ? v : u) - next)).sum(1);
  const auto guaranteed = torch::from_blob(const_cast<std::uint8_t*>(hard.guaranteed().data()),
                                           {layers, experts}, torch::kUInt8)
                              .to(u.scalar_type());
  const auto gate = torch::sigmoid((loss - price) / by.gate) * (1.0 - guaranteed) + guaranteed;
  const auto used = 1.0 - torch::exp(torch::log1p(-0.9999 * x).sum(1));
  const auto active = used * gate;
  const auto beyond = torch::relu(x.sum(1) * gate - active);
  const auto total = [&](const std::vector<float>& first, const std::vector<float>& more) {
    return (active * view(first, {layers, experts}) + beyond * view(more, {layers, experts})).sum();
  };
  const auto kept =
      ((x * u).sum() - ((1.0 - gate) * loss).sum()) / static_cast<double>(layers * tokens);
  return {total(costs.energy, costs.energy_slope), total(costs.latency, costs.latency_slope),
          kept.clamp_min(1e-3)};
}

LossTerms loss_terms(const ControllerConfig& c, const AdapterTick& tick, const Soft& soft,
                     const Demand& exact, const Demand& baseline) {
  const HardwareTracker& tracker = tick.tracker;
  const Cost& expected = tick.expected ? tick.expected->cost : exact.cost;
  const Forecast forecast = tracker.forecast(expected);
  const double ratio = tracker.step_time_ratio();
  const auto latency = ratio * anchored(soft.latency, expected.latency.value);
  const auto energy = anchored(soft.energy, expected.energy.value);
  const auto power =
      anchored(energy / latency.clamp_min(tracker.step_period().value), forecast.power.value);
  const AdapterOptions& w = c.adapter;
  LossTerms terms;
  if (c.targets.power)
    terms.power = w.weight_power * hinge_squared(power / c.targets.power->value - 1.0);
  if (c.targets.temperature && forecast.temperature) {
    const double kelvin_per_watt = (tracker.temperature().after(Watts(1.0), kTemperatureHorizon) -
                                    tracker.temperature().after(Watts(0.0), kTemperatureHorizon))
                                       .value;
    const auto temperature = anchored(kelvin_per_watt * power, forecast.temperature->value);
    const double span = std::max((*c.targets.temperature - c.thermal.ambient).value, 1.0);
    terms.temperature =
        w.weight_temperature * hinge_squared((temperature - c.targets.temperature->value) / span);
  }
  if (c.targets.step_time) {
    const auto longest = tracker.step_time_margin() * latency;
    terms.latency = w.weight_latency * hinge_squared(longest / c.targets.step_time->value - 1.0);
  }
  const double reference = std::max(ratio * baseline.cost.latency.value, 1e-12);
  terms.throughput = (w.weight_throughput + tick.shadow_price) * latency / reference;
  terms.quality =
      -w.weight_quality *
      torch::log(anchored(soft.kept_mass, std::max(exact.kept_mass, 1e-3)).clamp_min(1e-3));
  return terms;
}

}  // namespace thermoe
