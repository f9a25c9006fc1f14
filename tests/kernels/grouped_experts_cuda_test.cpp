// SPDX-License-Identifier: Apache-2.0
// What only a CUDA device does: types of activations, captured graphs, and what it refuses.
#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <vector>

#include "captured_graph.h"
#include "core/errors.h"
#include "device_copy.h"
#include "grouped_experts_on_device.h"
#include "grouped_experts_problem.h"
#include "kernels/device_expert_bank.h"

namespace thermoe {
namespace {

constexpr ExpertLayerShape kShape{.experts = 12, .d_model = 136, .d_ff = 72};

const KernelBackend& cuda() {
  static const KernelBackend backend = kernel_backends().front();
  return backend;
}

/// The upper halves: exact for values that are bf16.
std::vector<std::uint16_t> as_bf16(const std::vector<float>& values) {
  std::vector<std::uint16_t> halves;
  for (const float x : values) halves.push_back(std::bit_cast<std::uint32_t>(x) >> 16);
  return halves;
}

float f16_to_float(std::uint16_t bits) {
  const int exponent = bits >> 10 & 31;
  const int fraction = bits & 1023;
  const float size = exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                                   : std::ldexp(static_cast<float>(1024 + fraction), exponent - 25);
  return bits >> 15 ? -size : size;
}

/// Of values that f16 holds exactly.
std::uint16_t as_f16(float x) {
  if (x == 0.0F) return 0;
  int exponent = 0;
  const float fraction = std::frexp(std::abs(x), &exponent);  // 0.5 .. 1
  const auto bits = static_cast<int>(fraction * 2048.0F);     // 1024 .. 2047
  return static_cast<std::uint16_t>((x < 0.0F ? 0x8000 : 0) | (exponent + 14) << 10 |
                                    (bits - 1024));
}

TEST(CudaExperts, TakeBf16AndF16AsTheyAre) {
  for (const int d : {136, 133}) {  // rows that can be read in place, and such that cannot
    const ExpertLayerShape shape{.experts = 12, .d_model = d, .d_ff = 72};
    const LayerWeights weights = weights_for(cuda(), shape);
    ExpertBank bank(shape);
    bank.load_f32(weights.tensors());
    Batch batch(shape, 9, 3);
    // Quarters from -8 to 8 are exact in all three types.
    for (float& x : batch.hidden) x = std::clamp(std::round(4.0F * x), -32.0F, 32.0F) / 4.0F;
    const std::vector<float> from_f32 = run(cuda(), bank, batch);
    expect_matches_oracle(cuda(), from_f32, weights, batch);

    ExpertsCall call(bank.view(), batch);
    const std::vector<std::uint16_t> bf16 = as_bf16(batch.hidden);
    call.args.hidden = bf16.data();
    call.args.hidden_type = FloatType::kBf16;
    grouped_experts_on_device(call.args);
    EXPECT_EQ(call.out, from_f32);

    std::vector<std::uint16_t> f16;
    for (const float x : batch.hidden) f16.push_back(as_f16(x));
    ASSERT_EQ(f16_to_float(f16.front()), batch.hidden.front());
    call.args.hidden = f16.data();
    call.args.hidden_type = FloatType::kF16;
    grouped_experts_on_device(call.args);
    EXPECT_EQ(call.out, from_f32);
  }
}

TEST(CudaExperts, GiveBf16AndF16) {
  const LayerWeights weights = weights_for(cuda(), kShape);
  ExpertBank bank(kShape);
  bank.load_f32(weights.tensors());
  const Batch batch = batch_for(cuda(), kShape, 9, 3);
  ExpertsCall call(bank.view(), batch);
  std::vector<std::uint16_t> halves(call.out.size());
  call.args.out = halves.data();
  call.args.out_type = FloatType::kBf16;
  grouped_experts_on_device(call.args);
  std::vector<float> out;
  for (const std::uint16_t h : halves) out.push_back(std::bit_cast<float>(std::uint32_t{h} << 16));
  expect_matches_oracle(cuda(), out, weights, batch, 1.0 / 256.0);
  call.args.out_type = FloatType::kF16;
  grouped_experts_on_device(call.args);
  out.clear();
  for (const std::uint16_t h : halves) out.push_back(f16_to_float(h));
  expect_matches_oracle(cuda(), out, weights, batch, 1.0 / 2048.0);
}

TEST(CudaExperts, RepeatThemselvesBitForBit) {
  for (const int tokens : {5, 16, 200}) {
    const LayerWeights weights = weights_for(cuda(), kShape);
    ExpertBank bank(kShape);
    bank.load_f32(weights.tensors());
    const Batch batch = batch_for(cuda(), kShape, tokens, 4);
    const std::vector<float> once = run(cuda(), bank, batch);
    for (int i = 0; i < 5; ++i) EXPECT_EQ(run(cuda(), bank, batch), once);
  }
}

/// The arguments of calls of one size at fixed addresses of the device.
class DeviceCall {
 public:
  DeviceCall(const ExpertBank& bank, const Batch& size)
      : bank_(bank.view()),
        hidden_(copied(size.hidden.data(), size.hidden.size())),
        expert_(copied(size.expert.data(), size.expert.size())),
        weight_(copied(size.weight.data(), size.weight.size())),
        first_(sizeof(std::int32_t) * (bank.shape().experts + 1)),
        pair_(expert_.size()),
        workspace_(
            grouped_experts_workspace(Backend::kCuda, bank.shape(), size.tokens, size.slots)),
        out_(size.hidden.size() * sizeof(float)) {
    args_ = {.bank = bank_.view(),
             .hidden = hidden_.data(),
             .tokens = size.tokens,
             .expert = expert_.as<const std::int32_t>(),
             .weight = weight_.as<const float>(),
             .slots = size.slots,
             .order = {first_.as<std::int32_t>(), pair_.as<std::int32_t>()},
             .workspace = workspace_.data(),
             .workspace_size = workspace_.size(),
             .out = out_.data()};
  }

  void set(const Batch& batch) {
    const ExpertsCall call(bank_host_shape(), batch);
    const auto copy = [](const DeviceMemory& to, const auto& from) {
      copy_to_device(to.data(), std::as_bytes(std::span(from)), Stream{nullptr});
    };
    copy(hidden_, batch.hidden);
    copy(expert_, batch.expert);
    copy(weight_, batch.weight);
    copy(first_, call.first);
    copy(pair_, call.pair);
    out_.poison();
    workspace_.poison();
  }
  void run(Stream stream) const { grouped_experts(Backend::kCuda, args_, stream); }
  std::vector<float> result() const {
    const std::vector<std::byte> bytes = out_.bytes();
    std::vector<float> values(bytes.size() / sizeof(float));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }

 private:
  ExpertBankView bank_host_shape() const { return {.shape = bank_.view().shape}; }

  DeviceExpertBank bank_;
  DeviceMemory hidden_, expert_, weight_, first_, pair_;
  Poisoned workspace_;
  Poisoned out_;
  GroupedExpertsArgs args_{};
};

void expect_replays_equal_eager_calls(const ExpertBank& bank, int tokens) {
  const ExpertLayerShape& shape = bank.shape();
  DeviceCall call(bank, batch_for(cuda(), shape, tokens, 3));
  const CapturedGraph graph([&](Stream stream) {  // calls that follow each other closely
    for (int i = 0; i < 3; ++i) call.run(stream);
  });
  for (unsigned seed = 20; seed < 26; ++seed) {
    const Batch batch = batch_for(cuda(), shape, tokens, 3, seed, static_cast<int>(seed) % 12);
    call.set(batch);
    graph.replay();
    EXPECT_EQ(call.result(), thermoe::run(cuda(), bank, batch));
  }
}

TEST(CudaExperts, ACapturedGraphReplayedOnOtherPicksEqualsEagerCalls) {
  const LayerWeights weights = weights_for(cuda(), kShape);
  ExpertBank bank(kShape);
  bank.load_f32(weights.tensors());
  for (const int tokens : {4, 16, 90}) expect_replays_equal_eager_calls(bank, tokens);
}

TEST(CudaExperts, SoDoesOneOfInt4Experts) {
  const ExpertLayerShape shape{.experts = 12, .d_model = 640, .d_ff = 96};
  const LayerWeights weights = weights_for(cuda(), shape);
  ExpertBank bank(shape);
  bank.load_int4(weights.tensors(), {.group = 32, .with_zero_point = true});
  for (const int tokens : {4, 16, 90}) expect_replays_equal_eager_calls(bank, tokens);
}

TEST(CudaExperts, RefuseWhatTheyCannotRun) {
  LayerWeights weights(kShape);
  ExpertBank bank(kShape);
  bank.load_f32(weights.tensors());
  ASSERT_FALSE(bank.f32_is_bf16());
  const Batch batch(kShape, 4, 2);
  ExpertsCall call(bank.view(), batch);
  std::vector<std::byte> workspace(
      grouped_experts_workspace(Backend::kCuda, kShape, batch.tokens, batch.slots));
  call.args.workspace = workspace.data();
  call.args.workspace_size = workspace.size();
  EXPECT_THROW(grouped_experts(Backend::kCuda, call.args, Stream{nullptr}), PreconditionError);
  weights.cut_to_bf16();
  bank.load_f32(weights.tensors());
  call.args.bank = bank.view();
  const auto refuses = [&](auto&& spoil) {
    GroupedExpertsArgs bad = call.args;
    spoil(bad);
    EXPECT_THROW(grouped_experts(Backend::kCuda, bad, Stream{nullptr}), PreconditionError);
  };
  refuses([](auto& a) { --a.workspace_size; });
  refuses([](auto& a) { a.out = nullptr; });
  refuses([](auto& a) { a.order.first = nullptr; });
  refuses([](auto& a) { a.hidden = static_cast<const float*>(a.hidden) + 1; });
  refuses([](auto& a) { a.bank.shape.experts = 2000; });
  EXPECT_THROW(grouped_experts(Backend::kTriton, call.args, Stream{nullptr}), UsageError);
}

}  // namespace
}  // namespace thermoe
