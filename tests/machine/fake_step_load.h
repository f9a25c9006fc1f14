// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "core/router_spec.h"
#include "kernels/topk_route.h"
#include "machine/gpu/step_load.h"

namespace thermoe {

/// A router of four experts in two layers, for loads that cost nothing but time.
inline RouterSpec small_router() { return {.experts = 4, .k = 2}; }

/// A step of `tokens` tokens whose plan version and logits tell it from others.
inline StagedStep staged_step(std::uint64_t version, int tokens = 3) {
  StagedStep step{.plan = RoutingPlan(2, 4, 2), .step = version};
  step.plan.header().version = version;
  step.sample = {.layers = 2, .tokens = tokens, .experts = 4};
  for (int i = 0; i < 2 * tokens * 4; ++i) {
    step.sample.logits.push_back(static_cast<float>((i * 7 + static_cast<int>(version)) % 11));
  }
  return step;
}

/// Sleeps for each step, and routes on the CPU what was staged. What tests set, any thread may.
class FakeStepLoad final : public StepLoad {
 public:
  explicit FakeStepLoad(RouterSpec router = small_router()) : router_(std::move(router)) {}

  std::atomic<double> step_seconds{0.001};
  std::atomic<bool> fails{false};                     ///< the next step throws
  std::atomic<bool> misroutes{false};                 ///< one pick of each step is another expert
  std::atomic<int> steps{0};                          ///< begun
  std::atomic<bool> working{false};                   ///< a step is under way
  std::function<void(const StagedStep&)> on_stage{};  ///< set before the first step

  void stage(const StagedStep& step) override {
    if (on_stage) on_stage(step);
    step_ = step;
  }
  Seconds run() override {
    ++steps;
    if (fails) throw std::runtime_error("the device fell off the bus");
    working = true;
    const Seconds took(step_seconds);
    std::this_thread::sleep_for(std::chrono::duration<double>(took.value));
    route();
    working = false;
    return took;
  }
  const RoutedPicks& picks() const override { return picks_; }

 private:
  void route() {
    const LogitSample& sample = step_.sample;
    const int layers = sample.layers;
    const int slots = router_.k + 1;  // for plans whose k is a fraction
    picks_ = {.plan_version = step_.plan.header().version,
              .layers = layers,
              .tokens = sample.tokens,
              .slots = slots,
              .experts = sample.experts};
    const auto rows = static_cast<std::size_t>(sample.tokens) * slots;
    picks_.expert.resize(rows * layers);
    picks_.counts.resize(static_cast<std::size_t>(layers) * sample.experts);
    std::vector<float> weight(rows);
    const StepState state{.step = step_.step};
    for (int l = 0; l < layers; ++l) {
      const RouterView router(router_, l);
      std::vector<std::byte> workspace(
          topk_route_workspace(Backend::kCpu, router, sample.tokens, slots) + 64);
      void* aligned = workspace.data();
      std::size_t space = workspace.size();
      topk_route(Backend::kCpu,
                 {.logits = sample.layer(l).data(),
                  .tokens = sample.tokens,
                  .router = router,
                  .plan = step_.plan.view(l),
                  .step = &state,
                  .expert = picks_.expert.data() + rows * l,
                  .weight = weight.data(),
                  .slots = slots,
                  .counts = picks_.counts.data() + static_cast<std::size_t>(l) * sample.experts,
                  .workspace = static_cast<std::byte*>(std::align(64, 1, aligned, space)),
                  .workspace_size = space},
                 Stream{});
    }
    if (misroutes) picks_.expert[0] = (picks_.expert[0] + 1) % sample.experts;
  }

  RouterSpec router_;
  StagedStep step_{};
  RoutedPicks picks_{};
};

}  // namespace thermoe
