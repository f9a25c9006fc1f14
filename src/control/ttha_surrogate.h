// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <span>
#include <vector>

#include "control/controller_config.h"
#include "control/plan_adapter.h"
#include "control/pricing.h"

namespace thermoe {

/// A tensor [shape] that looks at floats which outlive it.
torch::Tensor view(std::span<const float> values, at::IntArrayRef shape);

/// Fermi selection x = sigma((s - mu)/tau) with mu such that each token's x sum to k (theory.md eq.
/// (4)). mu is found without gradient; one more Newton step with it carries the implicit
/// derivative.
/// score [..., experts]; 1 <= k <= experts.
torch::Tensor fermi_selection(const torch::Tensor& score, int k, double tau);

/// What the surrogate predicts; scalars with gradient.
struct Soft {
  torch::Tensor energy, latency, kept_mass;
};

/// Costs of each expert's own curve, [layers, experts] flattened: activation and slope beyond it.
struct ExpertCosts {
  std::vector<float> energy{}, energy_slope{}, latency{}, latency_slope{};
};

/// With `loads` for the point at which each curve's slope is taken.
ExpertCosts expert_costs(const StepCost& costs, const std::vector<std::uint8_t>& variant,
                         const RoutingStats& loads);

/// tau of eq. (13): by how much a token's last pick and the next best differ, on average. A steeper
/// router has smaller ones, and a wider tau would see swaps there that no token makes.
double selection_temperature(const Utilities& utilities);

/// tau_a of eq. (14), without gradient.
torch::Tensor gate_width(const torch::Tensor& price, double tau);

/// How far the smooth image is from the rule.
struct Smoothing {
  double tau = 0.0;
  torch::Tensor gate;  ///< tau_a, [layers, experts]
};

/// The smooth image of the pricing rule: theory.md eq. (13)-(15).
/// u [layers, tokens, experts], of hard's sample; bias and price [layers, experts], with gradient;
/// `hard` is the exact rule under the same parameters.
Soft soft_demand(const torch::Tensor& u, const torch::Tensor& bias, const torch::Tensor& price,
                 const Smoothing& by, const PricedSample& hard, const ExpertCosts& costs, int k);

/// The losses as tensors, weighted: eq. (16). The hats have the value of the exact rule, offset by
/// the measured residuals, and the gradient of the smooth one.
struct LossTerms {
  torch::Tensor power = torch::zeros({}), temperature = torch::zeros({}),
                latency = torch::zeros({});
  torch::Tensor throughput, quality;

  torch::Tensor total() const { return power + temperature + latency + throughput + quality; }
};

/// `exact`: of the tick's sample by the exact rule; `baseline`: of plain top-k.
LossTerms loss_terms(const ControllerConfig& config, const AdapterTick& tick, const Soft& soft,
                     const Demand& exact, const Demand& baseline);

}  // namespace thermoe
