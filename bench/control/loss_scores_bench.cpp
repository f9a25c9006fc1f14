// SPDX-License-Identifier: Apache-2.0
// What pricing keeps where a model's selection bias takes part: losses in unbiased scores against
// losses in biased ones, on synthetic logits of a router like DeepSeek-V3's. No model, so no bits.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include "control/demand.h"

namespace thermoe {
namespace {

constexpr int kLayers = 4, kTokens = 32, kExperts = 256, kK = 8, kSamples = 8;

std::vector<LogitSample> samples_of(std::uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> popularity(static_cast<std::size_t>(kLayers) * kExperts);
  for (float& p : popularity) p = -2.0F + 0.7F * normal(random);
  std::vector<LogitSample> samples;
  for (int i = 0; i < kSamples; ++i) {
    LogitSample s{.layers = kLayers, .tokens = kTokens, .experts = kExperts};
    for (int row = 0; row < kLayers * kTokens; ++row) {
      const auto base = static_cast<std::size_t>(row / kTokens) * kExperts;
      for (int e = 0; e < kExperts; ++e) s.logits.push_back(popularity[base + e] + normal(random));
    }
    samples.push_back(std::move(s));
  }
  return samples;
}

/// Sum of the samples' baseline loads, [layers, experts].
std::vector<int> loads_of(const std::vector<LogitSample>& samples, const RouterSpec& router) {
  std::vector<int> loads(static_cast<std::size_t>(kLayers) * kExperts, 0);
  for (const LogitSample& s : samples) {
    const std::vector<std::int32_t> counts = plain_loads(Utilities(s, router)).back().counts;
    std::transform(loads.begin(), loads.end(), counts.begin(), loads.begin(), std::plus<>());
  }
  return loads;
}

double skew(const std::vector<int>& loads) {
  return *std::max_element(loads.begin(), loads.end()) * static_cast<double>(loads.size()) /
         std::accumulate(loads.begin(), loads.end(), 0.0);
}

/// beta that balances the load, found as DeepSeek-V3's is (arXiv 2412.19437): up a step where an
/// expert has less than its share, down where it has more.
RouterSpec balanced(const std::vector<LogitSample>& samples, RouterSpec router) {
  router.selection_bias.assign(static_cast<std::size_t>(kLayers) * kExperts, 0.0F);
  const double mean = static_cast<double>(kSamples * kTokens * kK) / kExperts;
  for (int i = 0; i < 300; ++i) {
    const std::vector<int> loads = loads_of(samples, router);
    const float step = i < 200 ? 0.004F : 0.001F;
    for (std::size_t e = 0; e < loads.size(); ++e) {
      router.selection_bias[e] += loads[e] < mean ? step : loads[e] > mean ? -step : 0.0F;
    }
  }
  return router;
}

struct Kept {
  double unbiased = 0.0, biased = 0.0;  ///< of the baseline picks' sum of u and of v
};
/// Of all tokens together, by the rule at this lambda.
Kept kept_of(const PricedSample& sample, double lambda) {
  const Utilities& u = sample.utilities();
  const RoutingStats stats = sample.loads(lambda);
  Kept sum, whole;
  for (std::size_t row = 0; row < std::size_t{kLayers} * kTokens; ++row) {
    const auto utility = u.all().subspan(row * kExperts, kExperts);
    const auto selection = u.all_selection().subspan(row * kExperts, kExperts);
    int taken = 0, rank = 0;
    for (const std::uint16_t e : sample.full_order(row)) {
      if (rank++ < kK) whole.unbiased += utility[e], whole.biased += selection[e];
      // Whoever is active is taken by the tokens that had picked it.
      if (taken == kK || stats.counts[row / kTokens * kExperts + e] == 0) continue;
      sum.unbiased += utility[e], sum.biased += selection[e];
      ++taken;
    }
  }
  return {sum.unbiased / whole.unbiased, sum.biased / whole.biased};
}

/// 0: losses in u, 1: in v; D at most this many per cent of the baseline's.
void LossScoresAtD(benchmark::State& state) {
  const std::vector<LogitSample> samples = samples_of(7);
  const RouterSpec skewed{.experts = kExperts,
                          .k = kK,
                          .score = ScoreFunction::kSigmoid,
                          .groups = 8,
                          .groups_kept = 4};
  RouterSpec router = balanced(samples, skewed);
  router.loss_scores = state.range(0) == 0 ? LossScores::kUnbiased : LossScores::kBiased;
  const StepCost flat{
      .variants = {CostCurve({{1.0, {Seconds(1e-6), Joules(1e-3), Celsius(0.0)}}})}};
  const LoadCosts costs(flat, kTokens, {});
  DemandModel model = demand_of(samples, router, {});
  model.price({.k = kK, .k_min = 1});
  const double level = model.plain(costs).active * static_cast<double>(state.range(1)) / 100.0;
  PriceChoice choice;
  for (auto _ : state) {
    choice = least_price(model, costs, [&](const Demand& d) { return d.active <= level; });
  }
  Kept mean;
  for (const LogitSample& s : samples) {
    const Kept kept = kept_of({std::make_shared<const Utilities>(s, router), {.k = kK, .k_min = 1}},
                              choice.lambda);
    mean.unbiased += kept.unbiased / kSamples;
    mean.biased += kept.biased / kSamples;
  }
  state.counters["D"] = choice.demand.active;
  state.counters["kept_mass"] = mean.unbiased;
  state.counters["kept_biased"] = mean.biased;
  state.counters["loss_nats"] = choice.demand.quality_loss;
  state.counters["skew_without_beta"] = skew(loads_of(samples, skewed));
  state.counters["skew"] = skew(loads_of(samples, router));
}

BENCHMARK(LossScoresAtD)
    ->ArgsProduct({{0, 1}, {100, 85, 70, 55, 40}})
    ->Iterations(1)
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace thermoe
