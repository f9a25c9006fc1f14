// SPDX-License-Identifier: Apache-2.0
// The convex solver on one core: an entry and sweep, from nothing, and from the last tick's prices.
#include <benchmark/benchmark.h>

#include <cmath>
#include <numeric>
#include <random>
#include <vector>

#include "control/fermi_rows.h"
#include "control/shadow_prices.h"

namespace thermoe {
namespace {

constexpr int kExperts = 256, kTokens = 1024, kK = 8;
constexpr double kTau = 0.004;

/// Utilities of softmax scores over logits with expert popularity, as a walk: each call moves the
/// logits by `drift` of their own deviation.
class Scores {
 public:
  Scores() : logits_(std::size_t{kExperts} * kTokens) {
    std::normal_distribution<float> normal;
    std::vector<float> popularity(kExperts);
    for (float& p : popularity) p = 0.5F * normal(random_);
    for (std::size_t i = 0; i < logits_.size(); ++i) {
      logits_[i] = popularity[i % kExperts] + 1.5F * normal(random_);
    }
  }
  std::vector<float> next(float drift) {
    std::normal_distribution<float> normal;
    const float keep = std::sqrt(1.0F - drift * drift);
    std::vector<float> u(logits_.size());
    for (std::size_t i = 0; i < logits_.size(); ++i) {
      if (drift > 0.0F) logits_[i] = keep * logits_[i] + drift * 1.5F * normal(random_);
      u[i] = std::exp(logits_[i]);
    }
    for (int t = 0; t < kTokens; ++t) {
      float* row = u.data() + static_cast<std::size_t>(t) * kExperts;
      std::vector<float> sorted(row, row + kExperts);
      std::nth_element(sorted.begin(), sorted.begin() + kK, sorted.end(), std::greater<>());
      const float mass = std::accumulate(sorted.begin(), sorted.begin() + kK, 0.0F);
      for (int e = 0; e < kExperts; ++e) row[e] /= mass;
    }
    return u;
  }

 private:
  std::mt19937 random_{1};
  std::vector<float> logits_;
};

/// Half of the experts of a precision that costs half. 0: affine; 1: steeper beyond the mean load.
CappedResource energy(int kind) {
  constexpr double kMean = double{kTokens} * kK / kExperts;
  std::vector<CurvePoint> full = {{0.0, 0.0}, {kMean, kMean}, {kTokens, kTokens}};
  if (kind == 1)
    full = {
        {0.0, 0.0}, {0.8 * kMean, 0.8 * kMean}, {1.2 * kMean, 1.4 * kMean}, {2 * kMean, 4 * kMean}};
  std::vector<CurvePoint> half = full;
  for (CurvePoint& p : half) p.y *= 0.5;
  CappedResource r{.price_ceiling = 1e4, .curves = {convex_curve(full), convex_curve(half)}};
  for (int e = 0; e < kExperts; ++e) r.curve_of.push_back(e % 2);
  return r;
}

PriceProblem problem_of(const std::vector<float>& scores, int kind, double cap) {
  PriceProblem p{
      .layers = 1, .tokens = kTokens, .experts = kExperts, .k = kK, .scores = scores, .tau = kTau};
  p.resources = {energy(kind)};
  WarmStart none;
  p.resources[0].cap = 1e12;
  const double plain = solve_prices(p, {}, none).resource_use[0];
  p.resources[0].cap = cap * plain;
  return p;
}

void Sweep(benchmark::State& state) {
  Scores source;
  const std::vector<float> u = source.next(0.0F);
  FermiRows rows(u, 1, kTokens, kExperts, kK, kTau);
  std::vector<double> price(kExperts, 0.0);
  FermiLoads loads;
  rows.sweep(price, 1, loads);
  std::size_t i = 0;
  for (auto _ : state) {
    // As between two steps near the end: every price moves by a tenth of tau.
    for (std::size_t e = 0; e < price.size(); ++e) price[e] = 0.1 * kTau * std::sin(double(++i));
    rows.sweep(price, 1, loads);
    benchmark::DoNotOptimize(loads.value);
  }
  state.counters["ns_an_entry"] = benchmark::Counter(
      1e-9 * double{kTokens} * kExperts,
      benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

void Solve(benchmark::State& state) {
  const bool warm = state.range(1) != 0;
  const double gap = std::pow(10.0, -static_cast<double>(state.range(2)));
  Scores source;
  std::vector<std::vector<float>> ticks;
  for (int i = 0; i < 16; ++i) ticks.push_back(source.next(i == 0 ? 0.0F : 0.1F));
  PriceProblem p = problem_of(ticks[0], static_cast<int>(state.range(0)), 0.9);
  WarmStart start;
  solve_prices(p, {.gap = gap}, start);
  double sweeps = 0.0, solves = 0.0, worst = 0.0, price = 0.0;
  std::size_t i = 0;
  for (auto _ : state) {
    p.scores = ticks[++i % ticks.size()];
    if (!warm) start = {};
    const ShadowPrices s = solve_prices(p, {.gap = gap}, start);
    sweeps += s.sweeps, solves += 1.0;
    worst = std::max(worst, s.converged ? s.gap() : 1e9);
    price = s.resource_price[0];
  }
  state.counters["sweeps"] = sweeps / solves;
  state.counters["worst_gap"] = worst;
  state.counters["lambda"] = price;
}

BENCHMARK(Sweep)->Unit(benchmark::kMicrosecond);
BENCHMARK(Solve)
    ->ArgNames({"kinks", "warm", "digits"})
    ->ArgsProduct({{0, 1}, {0, 1}, {4, 6}})
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace thermoe
