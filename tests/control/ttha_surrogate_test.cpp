// SPDX-License-Identifier: Apache-2.0
#include "control/ttha_surrogate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>

#include "loop_fixture.h"

namespace thermoe {
namespace {

using testing::h100_like;
using testing::LogitSource;

constexpr int kLayers = 2, kTokens = 3, kExperts = 7, kK = 2;
constexpr double kTau = 0.004;
constexpr auto kDouble = torch::kFloat64;

/// (f(x + h e_i) - f(x - h e_i)) / 2h for every element of x.
torch::Tensor differences(const std::function<torch::Tensor(const torch::Tensor&)>& f,
                          const torch::Tensor& x, double h) {
  torch::Tensor slopes = torch::zeros_like(x);
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    torch::Tensor up = x.detach().clone(), down = x.detach().clone();
    up.view(-1)[i] += h;
    down.view(-1)[i] -= h;
    slopes.view(-1)[i] = (f(up) - f(down)) / (2.0 * h);
  }
  return slopes;
}

TEST(SoftDemandOfGroups, PicksNothingOutsideThemAndHasFiniteSlopes) {
  // A token's own group holds k experts: all of them, and none else.
  LogitSource source(1, 6, 12, 4);
  const RouterSpec router{
      .experts = 12, .k = 3, .score = ScoreFunction::kSigmoid, .groups = 4, .groups_kept = 1};
  const auto utilities = std::make_shared<const Utilities>(source.next(), router);
  const PricedSample hard(utilities, {.k = 3, .k_min = 1});
  const torch::Tensor u = view(utilities->all(), {1, 6, 12}).to(kDouble);
  const torch::Tensor bias = torch::zeros({1, 12}, kDouble).requires_grad_();
  const torch::Tensor price = torch::zeros({1, 12}, kDouble);
  const ExpertCosts costs = expert_costs(h100_like(1), {}, hard.loads(0.0));
  const Soft soft = soft_demand(u, bias, price, {kTau, gate_width(price, kTau)}, hard, costs, 3);
  EXPECT_NEAR(soft.kept_mass.item<double>(), 1.0, 0.01);
  (soft.kept_mass + soft.energy).backward();
  EXPECT_TRUE(bias.grad().isfinite().all().item<bool>());
}

TEST(SelectionTemperature, IsTheMeanStepFromTheLastPickToTheNextBest) {
  // u of one token, best first: 6/7, 1/7 | 0.95/7; of the other: 1/2, 1/2 | 1/2, a tie.
  const auto log = [](float x) { return std::log(x); };
  const LogitSample sample{.layers = 1,
                           .tokens = 2,
                           .experts = 4,
                           .logits = {log(6.0F), log(0.95F), log(1.0F), log(1e-6F),  //
                                      0.0F, 0.0F, 0.0F, -20.0F}};
  const Utilities u(sample, RouterSpec{.experts = 4, .k = 2});
  EXPECT_NEAR(selection_temperature(u), 0.5 * (0.05 / 7.0), 1e-6);
}

TEST(SelectionTemperature, IsBoundedWhereThereIsNoNextBest) {
  LogitSource source(1, 4, 12, 5);
  const LogitSample sample = source.next();
  const RouterSpec groups{.experts = 12, .k = 3, .groups = 4, .groups_kept = 1};
  const RouterSpec all{.experts = 12, .k = 12};
  for (const RouterSpec& router : {groups, all}) {
    EXPECT_NEAR(selection_temperature(Utilities(sample, router)), 0.01, 1e-8);
  }
}

/// Utilities so close to each other that the smooth selection is neither 0 nor 1.
class SoftDemand : public ::testing::Test {
 protected:
  SoftDemand() {
    LogitSource source(kLayers, kTokens, kExperts, 3, 0.03F);
    LogitSample sample = source.next();
    for (float& x : sample.logits) x *= 0.1F;
    utilities_ =
        std::make_shared<const Utilities>(sample, RouterSpec{.experts = kExperts, .k = kK});
    hard_.emplace(utilities_, PricingParameters{.k = kK, .k_min = 1});
    u_ = view(utilities_->all(), {kLayers, kTokens, kExperts}).to(kDouble);
    bias_ = 0.002 * torch::arange(kLayers * kExperts, kDouble).view({kLayers, kExperts}).sin();
    price_ =
        0.02 + 0.005 * torch::arange(kLayers * kExperts, kDouble).view({kLayers, kExperts}).cos();
    width_ = gate_width(price_, kTau);
    costs_ = expert_costs(h100_like(kLayers), {}, hard_->loads(0.01));
  }

  Soft soft(const torch::Tensor& bias, const torch::Tensor& price) const {
    return soft_demand(u_, bias, price, {kTau, width_}, *hard_, costs_, kK);
  }

  using Output = torch::Tensor Soft::*;
  static constexpr std::pair<const char*, Output> kOutputs[] = {
      {"energy", &Soft::energy}, {"latency", &Soft::latency}, {"kept mass", &Soft::kept_mass}};

  static void expect_slopes(const torch::Tensor& autograd, const torch::Tensor& expected,
                            const std::string& of) {
    const double scale = expected.abs().max().item<double>();
    EXPECT_GT(scale, 0.0) << of << ": nothing to compare";
    EXPECT_LT((autograd - expected).abs().max().item<double>(), 1e-3 * scale) << of << "\n"
                                                                              << autograd << "\n"
                                                                              << expected;
  }

  std::shared_ptr<const Utilities> utilities_;
  std::optional<PricedSample> hard_;
  ExpertCosts costs_;  // outlives the tensors that look at it
  torch::Tensor u_, bias_, price_, width_;
};

TEST_F(SoftDemand, SelectionPicksKExpertsATokenAndItsSlopeKeepsThatSum) {
  const torch::Tensor score = (u_ - bias_.unsqueeze(1)).requires_grad_();
  const torch::Tensor x = fermi_selection(score, kK, kTau);
  EXPECT_LT((x.sum(-1) - kK).abs().max().item<double>(), 1e-6);
  // mu moves with the scores: the sum cannot change, whatever a single score does.
  x.sum().backward();
  EXPECT_LT(score.grad().abs().max().item<double>(), 1e-3);
}

TEST_F(SoftDemand, ItsSlopesByTheBiasAreFiniteDifferences) {
  for (const auto& [name, output] : kOutputs) {
    const torch::Tensor bias = bias_.clone().requires_grad_();
    (soft(bias, price_).*output).backward();
    const auto value = [&, at = output](const torch::Tensor& b) { return soft(b, price_).*at; };
    expect_slopes(bias.grad(), differences(value, bias_, 1e-6), name);
  }
}

TEST_F(SoftDemand, ItsSlopesByThePriceAreFiniteDifferences) {
  for (const auto& [name, output] : kOutputs) {
    const torch::Tensor price = price_.clone().requires_grad_();
    (soft(bias_, price).*output).backward();
    const auto value = [&, at = output](const torch::Tensor& p) { return soft(bias_, p).*at; };
    expect_slopes(price.grad(), differences(value, price_, 1e-6), name);
  }
}

TEST_F(SoftDemand, GuaranteedExpertsStayAtAnyPrice) {
  const torch::Tensor dear = torch::full_like(price_, 1e6);
  width_ = gate_width(price_, kTau);
  const torch::Tensor guaranteed =
      torch::from_blob(const_cast<std::uint8_t*>(hard_->guaranteed().data()), {kLayers, kExperts},
                       torch::kUInt8)
          .to(kDouble);
  const torch::Tensor x = fermi_selection(u_ - bias_.unsqueeze(1), kK, kTau);
  const torch::Tensor used = 1.0 - (1.0 - 0.9999 * x).prod(1);
  const double least = (used * guaranteed).sum().item<double>() * costs_.energy.front();
  EXPECT_GT(least, 0.0);
  EXPECT_GE(soft(bias_, dear).energy.item<double>(), 0.999 * least);
}

/// Every target missed, so that every term has a slope.
class LossTermsOfATick : public ::testing::TestWithParam<double> {
 protected:
  LossTermsOfATick() {
    tracker_.observe(observation_, {Seconds(0.008), Joules(3.0), Celsius(0)});
    tracker_.learn(observation_, {Seconds(0.008), Joules(3.0), Celsius(0)}, true);
  }

  static ControllerConfig config() {
    ControllerConfig c = testing::dual_config(
        {.power = Watts(250.0), .temperature = Celsius(50.0), .step_time = Seconds(0.006)},
        {.layers = kLayers, .experts = kExperts, .k = kK});
    c.step_period = Seconds(GetParam());
    return c;
  }

  struct At {
    double energy = 3.2, latency = 0.0085, kept = 0.9;
  };

  struct Result {
    LossTerms terms;
    torch::Tensor energy, latency, kept;
  };
  Result terms(const At& at) const {
    const auto leaf = [](double x) {
      return torch::full({}, x, torch::dtype(kDouble).requires_grad(true));
    };
    Result r{
        .terms = {}, .energy = leaf(at.energy), .latency = leaf(at.latency), .kept = leaf(at.kept)};
    const Demand exact{.cost = {Seconds(at.latency), Joules(at.energy), Celsius(0)},
                       .kept_mass = at.kept};
    const Demand baseline{.cost = {Seconds(0.01), Joules(5.0), Celsius(0)}};
    r.terms = loss_terms(config_,
                         {.observation = observation_,
                          .utilities = nullptr,
                          .costs = costs_,
                          .tracker = tracker_,
                          .prior = prior_,
                          .shadow_price = kShadowPrice},
                         {r.energy, r.latency, r.kept}, exact, baseline);
    return r;
  }

  static constexpr double kShadowPrice = 0.37;
  ControllerConfig config_ = config();
  HardwareTracker tracker_{config_};
  Snapshot snapshot_{.gpus = {{.temperature = {Celsius(60.0), Seconds(0.1), Seconds(0.1)}}}};
  RoutingStats stats_;
  LogitSample sample_;
  StepMetrics metrics_{.at = Seconds(0.1),
                       .tick = Seconds(0.1),
                       .step_time = Seconds(0.0092),
                       .step_period = Seconds(std::max(GetParam(), 0.0092))};
  Observation observation_{.now = Seconds(0.1),
                           .snapshot = snapshot_,
                           .stats = stats_,
                           .sample = sample_,
                           .metrics = metrics_,
                           .costs = config_.costs};
  LoadCosts costs_{config_.costs, kTokens, {}};
  PricingParameters prior_;
};

TEST_P(LossTermsOfATick, AllHaveTheValuesOfEquation16) {
  const At at;
  const LossTerms t = terms(at).terms;
  const AdapterOptions& w = config_.adapter;
  const Forecast f = tracker_.forecast({Seconds(at.latency), Joules(at.energy), Celsius(0)});
  const double step = tracker_.step_time_ratio() * at.latency;
  EXPECT_NEAR(tracker_.step_time_ratio(), 0.0092 / 0.008, 1e-9);
  EXPECT_NEAR(t.power.item<double>(), w.weight_power * std::pow(f.power.value / 250.0 - 1.0, 2),
              1e-6);
  EXPECT_NEAR(t.temperature.item<double>(),
              w.weight_temperature * std::pow((f.temperature->value - 50.0) / (50.0 - 42.0), 2),
              1e-5);
  EXPECT_NEAR(t.latency.item<double>(), w.weight_latency * std::pow(step / 0.006 - 1.0, 2), 1e-5);
  EXPECT_NEAR(t.throughput.item<double>(), (w.weight_throughput + kShadowPrice) * at.latency / 0.01,
              1e-6);
  EXPECT_NEAR(t.quality.item<double>(), -w.weight_quality * std::log(at.kept), 1e-6);
  EXPECT_NEAR(t.total().item<double>(),
              (t.power + t.temperature + t.latency + t.throughput + t.quality).item<double>(),
              1e-6);
  for (const torch::Tensor& term : {t.power, t.temperature, t.latency}) {
    EXPECT_GT(term.item<double>(), 0.01) << "its target must be missed here";
  }
}

TEST_P(LossTermsOfATick, HaveTheSlopesOfTheirValues) {
  const At at;
  const Result r = terms(at);
  r.terms.total().backward();
  const auto total = [&](const At& x) { return terms(x).terms.total().item<double>(); };
  const auto slope = [&](double At::*member, double h) {
    At up = at, down = at;
    up.*member += h;
    down.*member -= h;
    return (total(up) - total(down)) / (2.0 * h);
  };
  const auto expect = [](const torch::Tensor& leaf, double expected) {
    EXPECT_NEAR(leaf.grad().item<double>(), expected, 1e-3 * std::abs(expected));
    EXPECT_NE(expected, 0.0);
  };
  expect(r.energy, slope(&At::energy, 1e-4));
  expect(r.latency, slope(&At::latency, 1e-6));
  expect(r.kept, slope(&At::kept, 1e-4));
}

INSTANTIATE_TEST_SUITE_P(PacedAndSaturated, LossTermsOfATick, ::testing::Values(0.016, 0.0));

}  // namespace
}  // namespace thermoe
