// SPDX-License-Identifier: Apache-2.0
// An engine's captured call of topk_route beside the CPU's own calls.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "captured_graph.h"
#include "device_copy.h"
#include "engine_call.h"
#include "kernels/device_plan.h"
#include "topk_route_problems.h"

namespace thermoe {
namespace {

const KernelBackend kHost{
    .name = "cpu",
    .multiplies_bf16 = false,
    .reads_host_memory = true,
    .topk_route = [](const TopkRouteArgs& a) { topk_route(Backend::kCpu, a, Stream{nullptr}); }};

/// A captured engine call, and the memory that it reads and writes at fixed addresses.
class CapturedEngineCall {
 public:
  CapturedEngineCall(const EngineCall& call, const DevicePlan& plan)
      : logits_(call.logits.size()),
        step_(sizeof(StepState)),
        slot_(sizeof call.slot),
        expert_(cells(call) * 4),
        weight_(cells(call) * 4),
        counts_(static_cast<std::size_t>(call.problem.experts) * 4),
        sample_(call.sample_bytes()) {
    const RouteProblem& p = call.problem;
    const RouterSpec spec = p.router();
    const RouterView router(spec, nullptr);
    workspace_ = DeviceMemory(topk_route_workspace(Backend::kCuda, router, p.tokens, p.slots()));
    TopkRouteArgs args{.tokens = p.tokens,
                       .router = router,
                       .plan = plan.view(0),
                       .step = step_.as<const StepState>(),
                       .expert = reinterpret_cast<std::int32_t*>(expert_.data()),
                       .weight = reinterpret_cast<float*>(weight_.data()),
                       .slots = p.slots(),
                       .fill_slots = true,
                       .counts = reinterpret_cast<std::int32_t*>(counts_.data()),
                       .sample = {.logits = sample_.data(),
                                  .distance = call.distance(),
                                  .rows = call.rows,
                                  .slot = slot_.as<const std::int32_t>()},
                       .workspace = workspace_.data(),
                       .workspace_size = workspace_.size()};
    args.logits.data = logits_.data();
    args.logits.type = p.type;
    graph_.emplace([&](Stream stream) { topk_route(Backend::kCuda, args, stream); });
  }

  Stream stream() const { return graph_->stream(); }
  /// With the call's logits, step and slot, over what the replays before left in the slots.
  EngineResult replay(const EngineCall& call) {
    copy_to_device(logits_.data(), call.logits, stream());
    copy_to_device(step_.data(), std::as_bytes(std::span(&call.problem.step, 1)), stream());
    copy_to_device(slot_.data(), std::as_bytes(std::span(&call.slot, 1)), stream());
    graph_->replay();
    return {values<std::int32_t>(expert_),
            values<float>(weight_),
            values<std::int32_t>(counts_),
            sample_.bytes(),
            {}};
  }

 private:
  static std::size_t cells(const EngineCall& call) {
    return static_cast<std::size_t>(call.problem.tokens) *
           static_cast<std::size_t>(call.problem.slots());
  }
  template <class T>
  static std::vector<T> values(const Poisoned& memory) {
    const std::vector<std::byte> bytes = memory.bytes();
    std::vector<T> values(bytes.size() / sizeof(T));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }

  DeviceMemory logits_, step_, slot_, workspace_{};
  Poisoned expert_, weight_, counts_, sample_;
  std::optional<CapturedGraph> graph_{};
};

/// Writes over what `before` has wherever `call` samples.
void sample_over(const EngineCall& call, std::vector<std::byte>& before) {
  EngineCall everywhere = call;
  const std::vector<std::byte> sampled = expected_sample(call);
  std::ranges::fill(everywhere.logits, std::byte{0});
  const std::vector<std::byte> written = expected_sample(everywhere);
  for (std::size_t i = 0; i < before.size(); ++i) {
    if (written[i] == std::byte{0}) before[i] = sampled[i];
  }
}

TEST(TopkRouteEngineCuda, AGraphFollowsPlanPaddingAndSlotFromReplayToReplay) {
  std::mt19937 random(41);
  for (const FloatType type : {FloatType::kF32, FloatType::kBf16}) {
    for (const int tokens : {8, 16, 24, 64, 200}) {
      RouteProblem problem{.tokens = tokens, .experts = 128, .k = 8, .type = type};
      fill_logits(problem, random, false);
      EngineCall call = with_own_logits(problem);
      call.rows = tokens - tokens / 4;
      call.gap = 5 * 128;
      DevicePlan device_plan(1, 128);
      CapturedEngineCall captured(call, device_plan);
      std::vector<std::byte> sample(call.sample_bytes(), std::byte{0xff});
      for (int i = 0; i < 40; ++i) {
        fill_logits(problem, random, i % 5 == 0);
        problem.plan_k = 8;
        problem.k_min = pick(random, 1, 8);
        problem.price.assign(128, 0.0F);
        for (float& p : problem.price)
          p = i % 2 == 0 ? 0 : static_cast<float>(pick(random, 0, 9)) / 32;
        problem.step = {.step = random(),
                        .valid_tokens = pick(random, -1, tokens),
                        .phase = i % 7 == 6 ? StepState::kPrefill : StepState::kDecode};
        RoutingPlan plan(1, 128, 8);
        plan.layer(0).k_min = problem.k_min;
        std::ranges::copy(problem.price, plan.activation_price(0).begin());
        ASSERT_TRUE(device_plan.update(plan, captured.stream()));
        EngineCall now = with_own_logits(problem);
        now.rows = call.rows;
        now.gap = call.gap;
        now.slot = pick(random, -1, 2);
        sample_over(now, sample);
        EngineResult expected = run(kHost, now);
        expected.sample = sample;
        const EngineResult replayed = captured.replay(now);
        SCOPED_TRACE(testing::Message() << tokens << " tokens, replay " << i);
        ASSERT_EQ(replayed.expert, expected.expert);
        ASSERT_EQ(replayed.weight, expected.weight);
        ASSERT_EQ(replayed.counts, expected.counts);
        ASSERT_EQ(replayed.sample, expected.sample);
      }
    }
  }
}

}  // namespace
}  // namespace thermoe
