// SPDX-License-Identifier: Apache-2.0
#include "control/ttha_adapter.h"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/torch.h>

#include <cmath>
#include <tuple>

#include "control/adapter_features.h"
#include "control/cosine_warm_restarts.h"

namespace thermoe {
namespace {

constexpr double kSelectionTemperature =
    0.004;                            // tau: the 8th and 9th picks differ by about as much
constexpr double kGateFloor = 0.002;  // tau_a = kGateFloor + kGateShare * price
constexpr double kGateShare = 0.25;
constexpr double kGradientNorm = 1.0;

/// Per expert and layer: features in; bias in (-1, 1) [layers, experts] and log price [layers] out.
struct Network : torch::nn::Module {
  Network(int layers, const AdapterOptions& o)
      : embed(register_module("embed", torch::nn::Linear(kAdapterFeatures, o.width))),
        attention(register_module("attention", torch::nn::MultiheadAttention(o.width, o.heads))),
        norm(register_module("norm", torch::nn::LayerNorm(torch::nn::LayerNormOptions({o.width})))),
        mix(register_module("mix", torch::nn::Linear(o.width, o.width))),
        bias_head(register_module("bias_head", torch::nn::Linear(o.width, 1))),
        price_head(register_module("price_head", torch::nn::Linear(o.width, 1))),
        layer(register_parameter("layer", torch::zeros({layers, 1, o.width}))) {}

  /// Own generator: the process's random state is not ours to move. The heads' zeros make the start
  /// the prior policy.
  void initialise(std::uint64_t seed) {
    const torch::NoGradGuard off;
    auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
    for (auto& p : named_parameters()) {
      torch::Tensor& value = p.value();
      if (p.key().rfind("norm.", 0) == 0) continue;
      const bool head = p.key().find("_head") != std::string::npos;
      if (head || value.dim() < 2) {
        value.zero_();
      } else {
        value.normal_(0.0, 1.0 / std::sqrt(static_cast<double>(value.size(-1))), generator);
      }
    }
  }

  std::tuple<torch::Tensor, torch::Tensor> forward(const torch::Tensor& features) {
    const auto tokens = (embed(features) + layer).transpose(0, 1);  // [experts, layers, width]
    const auto attended = std::get<0>(attention(tokens, tokens, tokens, torch::Tensor(), false));
    const auto hidden = torch::gelu(norm(mix(tokens + attended))).transpose(0, 1);
    return {torch::tanh(bias_head(hidden).squeeze(-1)),
            torch::tanh(price_head(hidden.mean(1)).squeeze(-1))};
  }

  torch::nn::Linear embed;
  torch::nn::MultiheadAttention attention;
  torch::nn::LayerNorm norm;
  torch::nn::Linear mix, bias_head, price_head;
  torch::Tensor layer;
};

/// A view of floats that outlive the tensor.
torch::Tensor view(std::span<const float> values, at::IntArrayRef shape) {
  return torch::from_blob(const_cast<float*>(values.data()), shape, torch::kFloat32);
}

/// The value of `exact` with the gradient of `smooth`: the surrogate only lends its slope.
torch::Tensor anchored(const torch::Tensor& smooth, double exact) {
  return smooth - smooth.detach() + exact;
}

/// Fermi selection x = sigma((s - mu)/tau) with mu such that each token's x sum to k (theory.md eq.
/// (4)). mu is found without gradient; one more Newton step with it carries the implicit
/// derivative.
torch::Tensor fermi_selection(const torch::Tensor& score, int k) {
  torch::Tensor mu, slope;
  const auto slope_of = [](const torch::Tensor& x) {
    return ((x * (1.0 - x)).sum(-1, true) / kSelectionTemperature).clamp_min(1.0);
  };
  {
    const torch::NoGradGuard off;
    const auto best =
        std::get<0>(score.detach().topk(std::min<std::int64_t>(k + 1, score.size(-1)), -1));
    mu = 0.5 * (best.select(-1, k - 1) + best.select(-1, best.size(-1) - 1)).unsqueeze(-1);
    for (int i = 0; i < 4; ++i) {
      const auto x = torch::sigmoid((score.detach() - mu) / kSelectionTemperature);
      const double reach = 2.0 * kSelectionTemperature;
      mu = mu + ((x.sum(-1, true) - k) / slope_of(x)).clamp(-reach, reach);
    }
    slope = slope_of(torch::sigmoid((score.detach() - mu) / kSelectionTemperature));
  }
  const auto first = torch::sigmoid((score - mu) / kSelectionTemperature);
  return torch::sigmoid((score - mu - (first.sum(-1, true) - k) / slope) / kSelectionTemperature);
}

/// What the surrogate predicts; scalars with gradient.
struct Soft {
  torch::Tensor energy, latency, kept_mass;
};

/// Costs of each expert's own curve, [layers, experts] flattened: activation and slope beyond it.
struct ExpertCosts {
  std::vector<float> energy{}, energy_slope{}, latency{}, latency_slope{};
};

ExpertCosts expert_costs(const StepCost& costs, const std::vector<std::uint8_t>& variant,
                         std::size_t cells, const RoutingStats& loads) {
  ExpertCosts c;
  for (std::size_t i = 0; i < cells; ++i) {
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

/// The smooth image of the pricing rule: theory.md eq. (13)-(15).
Soft soft_demand(const torch::Tensor& u, const torch::Tensor& bias, const torch::Tensor& price,
                 const PricedSample& hard, const ExpertCosts& costs, int k) {
  const std::int64_t layers = u.size(0), tokens = u.size(1), experts = u.size(2);
  const auto x = fermi_selection(u - bias.unsqueeze(1), k);
  const auto next = view(hard.next_utility(), {layers, tokens, 1});
  const auto loss = (x * torch::relu(u - next)).sum(1);
  const auto width = kGateFloor + kGateShare * price.detach();
  const auto guaranteed = torch::from_blob(const_cast<std::uint8_t*>(hard.guaranteed().data()),
                                           {layers, experts}, torch::kUInt8)
                              .to(torch::kFloat32);
  const auto gate = torch::sigmoid((loss - price) / width) * (1.0 - guaranteed) + guaranteed;
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

torch::Tensor hinge_squared(const torch::Tensor& excess) { return torch::relu(excess).square(); }

}  // namespace

struct TthaAdapter::Implementation {
  explicit Implementation(const ControllerConfig& c)
      : network(c.layers, c.adapter),
        optimizer((network.initialise(c.seed), network.parameters()),
                  torch::optim::AdamWOptions(c.adapter.learning_rate)
                      .weight_decay(c.adapter.weight_decay)),
        schedule(optimizer, {.rate_max = c.adapter.learning_rate,
                             .rate_min = c.adapter.learning_rate_min,
                             .first_period = c.adapter.restart_period,
                             .multiplier = c.adapter.restart_multiplier}) {
    for (const auto& p : network.parameters()) start.push_back(p.detach().clone());
  }

  double parameter_shift() {
    const torch::NoGradGuard off;
    torch::Tensor sum = torch::zeros({});
    const auto now = network.parameters();
    for (std::size_t i = 0; i < now.size(); ++i) sum += (now[i] - start[i]).square().sum();
    return std::sqrt(sum.item<double>());
  }

  Network network;
  torch::optim::AdamW optimizer;
  CosineWarmRestarts schedule;
  std::vector<torch::Tensor> start{};
};

namespace {

/// The losses as tensors, weighted: eq. (16). The hats have the value of the exact rule, offset by
/// the measured residuals, and the gradient of the smooth one.
struct LossTerms {
  torch::Tensor power = torch::zeros({}), temperature = torch::zeros({}),
                latency = torch::zeros({});
  torch::Tensor throughput, quality;

  torch::Tensor total() const { return power + temperature + latency + throughput + quality; }
};

LossTerms loss_terms(const ControllerConfig& c, const AdapterTick& tick, const Soft& soft,
                     const Demand& exact, const Demand& baseline) {
  const HardwareTracker& tracker = tick.tracker;
  const Cost& expected = tick.expected ? tick.expected->cost : exact.cost;
  const Forecast forecast = tracker.forecast(expected);
  const double ratio = tracker.step_time_ratio();
  const auto latency = ratio * anchored(soft.latency, expected.latency.value);
  const auto energy = anchored(soft.energy, expected.energy.value);
  const auto power =
      anchored(energy / latency.clamp_min(c.step_period.value), forecast.power.value);
  const AdapterOptions& w = c.adapter;
  LossTerms terms;
  if (c.targets.power)
    terms.power = w.weight_power * hinge_squared(power / c.targets.power->value - 1.0);
  if (c.targets.temperature && forecast.temperature) {
    const double kelvin_per_watt = (tracker.temperature().after(Watts(1.0), c.temperature_horizon) -
                                    tracker.temperature().after(Watts(0.0), c.temperature_horizon))
                                       .value;
    const auto temperature = anchored(kelvin_per_watt * power, forecast.temperature->value);
    const double span = std::max((*c.targets.temperature - c.thermal.ambient).value, 1.0);
    terms.temperature =
        w.weight_temperature * hinge_squared((temperature - c.targets.temperature->value) / span);
  }
  if (c.targets.step_time) {
    terms.latency = w.weight_latency * hinge_squared(latency / c.targets.step_time->value - 1.0);
  }
  const double reference = std::max(ratio * baseline.cost.latency.value, 1e-12);
  terms.throughput = (w.weight_throughput + tick.shadow_price) * latency / reference;
  terms.quality =
      -w.weight_quality *
      torch::log(anchored(soft.kept_mass, std::max(exact.kept_mass, 1e-3)).clamp_min(1e-3));
  return terms;
}

/// Parameters of the exact rule under the adapter's output.
PricingParameters combined(const ControllerConfig& c, const PricingParameters& prior,
                           const AdapterOutput& out) {
  PricingParameters p = prior;
  if (p.bias.empty()) p.bias.assign(out.bias.size(), 0.0F);
  for (std::size_t i = 0; i < p.bias.size(); ++i) {
    p.bias[i] += out.bias[i];
    p.unit_price[i] *= std::exp(out.log_price[i / static_cast<std::size_t>(c.experts)]);
  }
  return p;
}

std::vector<float> numbers(const torch::Tensor& t) {
  const auto flat = t.detach().contiguous();
  return {flat.data_ptr<float>(), flat.data_ptr<float>() + flat.numel()};
}

}  // namespace

TthaAdapter::TthaAdapter(const ControllerConfig& config)
    : config_(config), implementation_(std::make_unique<Implementation>(config)) {}
TthaAdapter::~TthaAdapter() = default;

void TthaAdapter::restart() { implementation_ = std::make_unique<Implementation>(config_); }

AdapterOutput TthaAdapter::update_ttha(const AdapterTick& tick) {
  const ControllerConfig& c = config_;
  Implementation& self = *implementation_;
  const Utilities& utilities = *tick.utilities;
  const std::vector<float> features = adapter_features(c, tick);
  auto [raw_bias, raw_price] =
      self.network.forward(view(features, {c.layers, c.experts, kAdapterFeatures}));
  // A shift common to all experts of a layer changes no pick: only differences are given out.
  const auto delta_bias = 0.5 * c.guard.bias_clamp * (raw_bias - raw_bias.mean(1, true));
  auto log_price = c.adapter.log_price_clamp * raw_price;
  if (tick.relative_prices) log_price = log_price - log_price.mean();
  AdapterOutput out{.bias = numbers(delta_bias), .log_price = numbers(log_price)};

  const PricingParameters rule = combined(c, tick.prior, out);
  for (const float b : rule.bias) {
    if (!std::isfinite(b)) return out;  // diverged: the caller sees it and restarts
  }
  const PricedSample hard(tick.utilities, rule);
  const RoutingStats loads = hard.loads(tick.lambda);
  const ExpertCosts costs =
      expert_costs(tick.observation.costs, c.variant, rule.bias.size(), loads);
  auto bias = delta_bias;
  if (!tick.prior.bias.empty()) bias = bias + view(tick.prior.bias, {c.layers, c.experts});
  const auto price = tick.lambda * view(tick.prior.unit_price, {c.layers, c.experts}) *
                     torch::exp(log_price).unsqueeze(-1);
  const auto u = view(utilities.all(), {c.layers, utilities.tokens(), c.experts});
  const Soft soft = soft_demand(u, bias, price, hard, costs, c.k);
  const LossTerms terms = loss_terms(c, tick, soft, tick.costs.demand(loads),
                                     tick.costs.demand(plain_loads(utilities).back()));
  const torch::Tensor total = terms.total();
  out.losses = {.total = total.item<double>(),
                .power = terms.power.item<double>(),
                .temperature = terms.temperature.item<double>(),
                .latency = terms.latency.item<double>(),
                .throughput = terms.throughput.item<double>(),
                .quality = terms.quality.item<double>(),
                .learning_rate = self.optimizer.param_groups().front().options().get_lr()};
  self.optimizer.zero_grad();
  total.backward();
  torch::nn::utils::clip_grad_norm_(self.network.parameters(), kGradientNorm);
  self.optimizer.step();
  self.schedule.step();
  out.losses.parameter_shift = self.parameter_shift();
  return out;
}

}  // namespace thermoe
