// SPDX-License-Identifier: Apache-2.0
#include "control/ttha_adapter.h"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/torch.h>

#include <cmath>
#include <tuple>

#include "control/adapter_features.h"
#include "control/adapter_limits.h"
#include "control/cosine_warm_restarts.h"
#include "control/ttha_surrogate.h"

namespace thermoe {
namespace {

constexpr double kGradientNorm = 1.0;
/// AdamW divides by what it remembers of the gradient's size: a missed target is a large one, and
/// 0.999 would keep the adapter slow for 100 s after it. This is 10 s, a period of the rate.
constexpr double kSecondMomentDecay = 0.99;

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

/// t, without gradient where a clamp holds it at another value.
torch::Tensor held(const torch::Tensor& t, std::span<const float> values) {
  const auto value = view(values, t.sizes());
  return torch::where(t.detach() == value, t, value);
}

}  // namespace

struct TthaAdapter::Implementation {
  explicit Implementation(const ControllerConfig& c)
      : network(c.layers, c.adapter),
        optimizer((network.initialise(c.seed), network.parameters()),
                  torch::optim::AdamWOptions(c.adapter.learning_rate)
                      .weight_decay(c.adapter.weight_decay)
                      .betas({0.9, kSecondMomentDecay})),
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
      self.network.forward(view(features, {c.layers, c.router.experts, kAdapterFeatures}));
  // A shift common to all experts of a layer changes no pick: only differences are given out.
  const auto delta_bias = 0.5 * c.guard.bias_clamp * (raw_bias - raw_bias.mean(1, true));
  auto log_price = c.adapter.log_price_clamp * raw_price;
  if (tick.relative_prices) log_price = log_price - log_price.mean();
  AdapterOutput out =
      within_limits(c, tick.prior, {.bias = numbers(delta_bias), .log_price = numbers(log_price)});
  if (!out.finite()) return out;  // diverged: the caller sees it and restarts

  const PricingParameters rule = adapted(tick.prior, out);
  const PricedSample hard(tick.utilities, rule);
  const RoutingStats loads = hard.loads(tick.lambda);
  const ExpertCosts costs = expert_costs(tick.observation.costs, c.variant, loads);
  auto bias = held(delta_bias, out.bias);
  if (!tick.prior.bias.empty()) bias = bias + view(tick.prior.bias, {c.layers, c.router.experts});
  const auto price = tick.lambda * view(tick.prior.unit_price, {c.layers, c.router.experts}) *
                     torch::exp(held(log_price, out.log_price)).unsqueeze(-1);
  const auto u = view(utilities.all(), {c.layers, utilities.tokens(), c.router.experts});
  const double tau = selection_temperature(utilities);
  const Soft soft = soft_demand(u, bias, price, {.tau = tau, .gate = gate_width(price, tau)}, hard,
                                costs, c.router.k);
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
