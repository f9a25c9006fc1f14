// SPDX-License-Identifier: Apache-2.0
// Routing and experts one after the other on a device, as a decode step has them.
#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <vector>

#include "captured_graph.h"
#include "device_copy.h"
#include "grouped_experts_problem.h"
#include "kernels/device_expert_bank.h"
#include "kernels/topk_route.h"

namespace thermoe {
namespace {

constexpr ExpertLayerShape kShape{.experts = 24, .d_model = 136, .d_ff = 72};
constexpr int kTokens = 16;
constexpr int kTopk = 4;
constexpr int kLayers = 3;

const RouterSpec& router() {
  static const RouterSpec spec{.experts = kShape.experts, .k = kTopk};
  return spec;
}

/// What the CPU's router picks of these logits.
Batch routed(const std::vector<float>& logits, const std::vector<float>& hidden) {
  Batch batch(kShape, kTokens, kTopk);
  batch.hidden = hidden;
  std::vector<std::int32_t> counts(kShape.experts);
  const RouterView view(router(), nullptr);
  AlignedVector<std::byte> workspace(topk_route_workspace(Backend::kCpu, view, kTokens, kTopk));
  topk_route(Backend::kCpu,
             {.logits = logits.data(),
              .tokens = kTokens,
              .router = view,
              .expert = batch.expert.data(),
              .weight = batch.weight.data(),
              .slots = kTopk,
              .counts = counts.data(),
              .workspace = workspace.data(),
              .workspace_size = workspace.size()},
             Stream{nullptr});
  return batch;
}

/// The layers of a step, at fixed addresses; they share all but logits and outputs.
class DeviceStep {
 public:
  DeviceStep(const ExpertBank& bank, const std::vector<float>& hidden)
      : bank_(bank.view()),
        expert_(kTokens * kTopk * sizeof(std::int32_t)),
        weight_(kTokens * kTopk * sizeof(float)),
        counts_(kShape.experts * sizeof(std::int32_t)),
        first_((kShape.experts + 1) * sizeof(std::int32_t)),
        pair_(kTokens * kTopk * sizeof(std::int32_t)),
        route_workspace_(topk_route_workspace(Backend::kCuda, view_, kTokens, kTopk)),
        experts_workspace_(grouped_experts_workspace(Backend::kCuda, kShape, kTokens, kTopk)) {
    std::vector<std::uint16_t> halves;
    for (const float x : hidden) halves.push_back(std::bit_cast<std::uint32_t>(x) >> 16);
    hidden_ = copied(halves.data(), halves.size());
    for (int l = 0; l < kLayers; ++l) {
      logits_.emplace_back(kTokens * kShape.experts * sizeof(float));
      out_.emplace_back(hidden.size() * sizeof(float));
    }
  }

  void set_logits(int l, const std::vector<float>& logits) {
    copy_to_device(logits_[l].data(), std::as_bytes(std::span(logits)), Stream{nullptr});
    out_[l].poison();
  }

  void enqueue(Stream stream) const {
    const ExpertOrder order{first_.as<std::int32_t>(), pair_.as<std::int32_t>()};
    for (int l = 0; l < kLayers; ++l) {
      topk_route(Backend::kCuda,
                 {.logits = logits_[l].as<const float>(),
                  .tokens = kTokens,
                  .router = view_,
                  .expert = expert_.as<std::int32_t>(),
                  .weight = weight_.as<float>(),
                  .slots = kTopk,
                  .counts = counts_.as<std::int32_t>(),
                  .order = order,
                  .workspace = route_workspace_.data(),
                  .workspace_size = route_workspace_.size()},
                 stream);
      grouped_experts(Backend::kCuda,
                      {.bank = bank_.view(),
                       .hidden = hidden_.data(),
                       .hidden_type = FloatType::kBf16,
                       .tokens = kTokens,
                       .expert = expert_.as<std::int32_t>(),
                       .weight = weight_.as<float>(),
                       .slots = kTopk,
                       .order = order,
                       .workspace = experts_workspace_.data(),
                       .workspace_size = experts_workspace_.size(),
                       .out = out_[l].data()},
                      stream);
    }
  }

  std::vector<float> result(int l) const {
    const std::vector<std::byte> bytes = out_[l].bytes();
    std::vector<float> values(bytes.size() / sizeof(float));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }

 private:
  const RouterView view_{router(), nullptr};
  DeviceExpertBank bank_;
  DeviceMemory hidden_;
  std::vector<DeviceMemory> logits_;
  DeviceMemory expert_, weight_, counts_, first_, pair_;
  DeviceMemory route_workspace_, experts_workspace_;
  std::vector<Poisoned> out_;
};

// Kernels of a call start before those ahead of them have ended: each must still see the picks of
// its own layer.
TEST(RouteAndExperts, AReplayedStepGivesWhatTheCpusPicksGive) {
  const KernelBackend cuda = kernel_backends().front();
  const LayerWeights weights = weights_for(cuda, kShape);
  ExpertBank bank(kShape);
  bank.load_f32(weights.tensors());
  const std::vector<float> hidden = batch_for(cuda, kShape, kTokens, kTopk).hidden;
  DeviceStep step(bank, hidden);
  const CapturedGraph graph([&](Stream stream) { step.enqueue(stream); });
  for (unsigned round = 0; round < 20; ++round) {
    std::vector<std::vector<float>> logits;
    for (unsigned l = 0; l < kLayers; ++l) {
      logits.push_back(random_values(kTokens * kShape.experts, 100 + kLayers * round + l, 1.0F));
      step.set_logits(static_cast<int>(l), logits.back());
    }
    synchronise(Stream{nullptr});
    graph.replay();
    for (int l = 0; l < kLayers; ++l) {
      ASSERT_EQ(step.result(l), run(cuda, bank, routed(logits[l], hidden)))
          << "round " << round << ", layer " << l;
    }
  }
}

}  // namespace
}  // namespace thermoe
