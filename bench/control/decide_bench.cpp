// SPDX-License-Identifier: Apache-2.0
// What a control tick costs: at 10 Hz on one core it must stay under 10 ms.
#include <benchmark/benchmark.h>

#include <cmath>
#include <memory>
#include <random>
#include <vector>

#include "control/expert_count.h"
#include "control/kernel_aware_ttha.h"

namespace thermoe {
namespace {

constexpr int kK = 8;
constexpr Seconds kTick{0.1};
constexpr int kSamples = 12;  // more than the controller remembers: none comes back warm

StepCost costs_of(int layers, int tokens) {
  const Cost first{Seconds(3.2e-6), Joules(1.37e-3), Celsius(0.0)};
  const Cost last = (1.0 + 0.004 * tokens) * first;
  return {.layer_repeat = 48.0 / layers,
          .layer_constant = {Seconds(4e-6), Joules(1e-3), Celsius(0.0)},
          .variants = {CostCurve({{1.0, first}, {static_cast<double>(tokens) + 1.0, last}})},
          .active_idle = Watts(130.0)};
}

std::vector<LogitSample> samples_of(int layers, int experts, int tokens) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> popularity(static_cast<std::size_t>(layers) * experts);
  for (float& p : popularity) p = 0.3F * normal(random);
  std::vector<LogitSample> samples;
  for (int i = 0; i < kSamples; ++i) {
    LogitSample s{.layers = layers, .tokens = tokens, .experts = experts};
    s.logits.reserve(popularity.size() * tokens);
    for (int row = 0; row < layers * tokens; ++row) {
      for (int e = 0; e < experts; ++e) {
        const auto base = static_cast<std::size_t>(row / tokens) * experts;
        s.logits.push_back(popularity[base + e] + 1.5F * normal(random));
      }
    }
    samples.push_back(std::move(s));
  }
  return samples;
}

enum Router { kSoftmax, kSigmoid, kDeepSeek };

/// kDeepSeek: sigmoid with a selection bias, 4 groups of 8.
RouterSpec router_of(Router kind, int layers, int experts) {
  RouterSpec router{.experts = experts, .k = kK};
  if (kind == kSoftmax) return router;
  router.score = ScoreFunction::kSigmoid;
  if (kind == kSigmoid) return router;
  router.groups = 8;
  router.groups_kept = 4;
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  for (int i = 0; i < layers * experts; ++i) {
    router.selection_bias.push_back(0.1F * normal(random));
  }
  return router;
}

/// The dual alone, or OPPORTUNISTIC, under a power cap that takes about a third of the energy above
/// idle: layers, experts, tokens, kind of router.
template <Strategy kStrategy>
void Decide(benchmark::State& state) {
  const auto layers = static_cast<int>(state.range(0));
  const auto experts = static_cast<int>(state.range(1));
  const auto tokens = static_cast<int>(state.range(2));
  const RouterSpec router = router_of(static_cast<Router>(state.range(3)), layers, experts);
  const std::vector<LogitSample> samples = samples_of(layers, experts, tokens);
  std::vector<RoutingStats> stats;
  for (const LogitSample& s : samples) stats.push_back(plain_loads(Utilities(s, router)).back());
  ControllerConfig config{.strategy = kStrategy,
                          .mode = TthaMode::kDualOnly,
                          .layers = layers,
                          .router = router,
                          .costs = costs_of(layers, tokens)};
  const Cost full = config.costs.step(stats.front());
  config.step_period = 1.2 * full.latency;
  const Watts idle = config.costs.active_idle;
  const Watts baseline = mean_power(full, config.step_period, idle);
  config.targets.power = idle + 0.7 * (baseline - idle);
  std::unique_ptr<Controller> controller;
  if constexpr (kStrategy == Strategy::kKernelAwareTtha)
    controller = std::make_unique<KernelAwareTtha>(config, nullptr);
  else
    controller = std::make_unique<ExpertCountController>(config);

  Snapshot snapshot{.simulated = true, .gpus = std::vector<GpuReading>(1)};
  int tick = 0;
  const auto decide = [&] {
    const auto i = static_cast<std::size_t>(tick % kSamples);
    const Seconds now = (++tick) * kTick;
    const Watts power = baseline + Watts(5.0 * std::sin(tick));
    snapshot.gpus[0].power_instant = {power, now, now};
    const StepMetrics metrics{.at = now,
                              .tick = kTick,
                              .step_time = full.latency,
                              .step_period = config.step_period,
                              .steps = kTick / config.step_period};
    return controller->decide({.now = now,
                               .snapshot = snapshot,
                               .stats = stats[i],
                               .sample = samples[i],
                               .metrics = metrics,
                               .costs = config.costs});
  };
  for (int i = 0; i < kSamples; ++i) decide();
  for (auto _ : state) benchmark::DoNotOptimize(decide());
  state.counters["lambda"] = controller->state().lambda;
  state.counters["active_experts"] = controller->state().predicted_active;
  state.counters["kept_mass"] = controller->state().predicted_kept_mass;
}

BENCHMARK_TEMPLATE(Decide, Strategy::kKernelAwareTtha)
    ->Name("Decide")
    ->Args({48, 128, 16, kSoftmax})
    ->Args({48, 128, 64, kSoftmax})
    ->Args({48, 128, 256, kSoftmax})
    ->Args({61, 256, 64, kSoftmax})
    ->Args({61, 256, 64, kSigmoid})
    ->Args({61, 256, 64, kDeepSeek})
    ->Unit(benchmark::kMillisecond);
BENCHMARK_TEMPLATE(Decide, Strategy::kOpportunistic)
    ->Name("DecideOpportunistic")
    ->Args({48, 128, 16, kSoftmax})
    ->Args({48, 128, 64, kSoftmax})
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace thermoe
