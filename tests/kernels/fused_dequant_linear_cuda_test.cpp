// SPDX-License-Identifier: Apache-2.0
// What only a CUDA device does: types of outputs, captured graphs, and what it refuses.
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "captured_graph.h"
#include "core/errors.h"
#include "device_copy.h"
#include "fused_dequant_linear_on_device.h"
#include "half_floats.h"
#include "kernels/device_int4_weights.h"

namespace thermoe {
namespace {

constexpr int kInputs = 640;
constexpr int kOutputs = 199;

std::vector<float> waves(std::size_t n, float speed) {
  std::vector<float> values(n);
  for (std::size_t i = 0; i < n; ++i) values[i] = std::sin(speed * static_cast<float>(i + 1));
  return values;
}

std::vector<std::uint16_t> as_bits(FloatType type, const std::vector<float>& values) {
  std::vector<std::uint16_t> bits;
  for (const float x : values) bits.push_back(to_bits(type, rounded_to(type, x)));
  return bits;
}

/// A layer with biases, and its tokens in bf16.
struct Layer {
  explicit Layer(int token_count, float speed = 0.37F)
      : tokens(token_count),
        x(as_bits(FloatType::kBf16, waves(static_cast<std::size_t>(tokens) * kInputs, speed))),
        bias(waves(kOutputs, 1.1F)),
        weights(quantise_int4(waves(std::size_t{kOutputs} * kInputs, 0.71F * speed).data(),
                              kOutputs, kInputs, {.group = 64, .with_zero_point = true})) {}

  FusedDequantLinearArgs args() const {
    return {.x = x.data(),
            .x_type = FloatType::kBf16,
            .tokens = tokens,
            .weights = weights.view(),
            .bias = bias.data(),
            .epilogue = Epilogue::kGelu};
  }
  std::vector<float> run(Backend backend) const {
    std::vector<float> out(static_cast<std::size_t>(tokens) * kOutputs);
    FusedDequantLinearArgs a = args();
    a.out = out.data();
    fused_dequant_linear_on_device(backend, a);
    return out;
  }

  int tokens;
  std::vector<std::uint16_t> x;
  std::vector<float> bias;
  Int4Weights weights;
};

class DeviceDequantLinear : public ::testing::TestWithParam<Backend> {
  void SetUp() override {
    if (const auto problem = backend_problem(GetParam())) GTEST_SKIP() << *problem;
  }
};
INSTANTIATE_TEST_SUITE_P(FusedDequantLinear, DeviceDequantLinear,
                         ::testing::Values(Backend::kCuda, Backend::kTriton),
                         [](const auto& info) { return std::string(to_string(info.param)); });

TEST_P(DeviceDequantLinear, GivesBf16AndF16AsTheRoundedF32) {
  const Layer layer(13);
  const std::vector<float> exact = layer.run(GetParam());
  for (const FloatType type : {FloatType::kBf16, FloatType::kF16}) {
    std::vector<std::uint16_t> out(exact.size());
    FusedDequantLinearArgs args = layer.args();
    args.out = out.data();
    args.out_type = type;
    fused_dequant_linear_on_device(GetParam(), args);
    EXPECT_EQ(out, as_bits(type, exact));
  }
}

TEST_P(DeviceDequantLinear, RepeatsItselfBitForBit) {
  for (const int tokens : {1, 16, 40, 300}) {
    const Layer layer(tokens);
    const std::vector<float> once = layer.run(GetParam());
    for (int i = 0; i < 5; ++i) EXPECT_EQ(layer.run(GetParam()), once);
  }
}

TEST_P(DeviceDequantLinear, ACapturedGraphReplayedOnOtherTokensEqualsEagerCalls) {
  for (const int tokens : {3, 16, 90}) {
    const Layer first(tokens);
    const DeviceInt4Weights weights(first.weights.view());
    const DeviceMemory bias = on_device(std::span(first.bias));
    const DeviceMemory x = on_device(std::span(first.x));
    const std::size_t cells = static_cast<std::size_t>(tokens) * kOutputs;
    Poisoned out(cells * sizeof(float));
    FusedDequantLinearArgs args = first.args();
    args.x = x.data();
    args.weights = weights.view();
    args.bias = bias.as<const float>();
    args.out = out.data();
    const CapturedGraph graph([&](Stream stream) {  // calls that follow each other closely
      for (int i = 0; i < 3; ++i) fused_dequant_linear(GetParam(), args, stream);
    });
    for (const float speed : {0.2F, 0.5F, 0.9F}) {
      Layer layer = first;
      layer.x = Layer(tokens, speed).x;
      copy_to_device(x.data(), std::as_bytes(std::span(layer.x)), Stream{nullptr});
      out.poison();
      graph.replay();
      std::vector<float> replayed(cells);
      const std::vector<std::byte> bytes = out.bytes();
      std::memcpy(replayed.data(), bytes.data(), bytes.size());
      EXPECT_EQ(replayed, layer.run(GetParam()));
    }
  }
}

// Refused before anything is read, so host memory will do.
TEST_P(DeviceDequantLinear, RefusesWhatItCannotRun) {
  const Layer layer(2);
  const Int4Weights other(kOutputs, kInputs, {.group = 32});
  std::vector<float> out(2 * kOutputs);
  const auto refuses = [&](auto&& spoil) {
    FusedDequantLinearArgs bad = layer.args();
    bad.out = out.data();
    spoil(bad);
    EXPECT_THROW(fused_dequant_linear(GetParam(), bad, Stream{nullptr}), PreconditionError);
  };
  refuses([](auto& a) { a.x_type = FloatType::kF32; });
  refuses([](auto& a) { a.x = static_cast<const std::uint16_t*>(a.x) + 1; });
  refuses([](auto& a) { ++a.weights.words; });
  refuses([](auto& a) { ++a.weights.zero_points; });
  refuses([&](auto& a) {
    a.epilogue = Epilogue::kSiluMul;
    a.up = other.view();  // of another group
  });
}

TEST(DeviceInt4Weights, AreTheSameBytes) {
  for (const bool zero : {false, true}) {
    const Int4Weights host = quantise_int4(waves(40 * 64, 0.3F).data(), 40, 64, {32, zero});
    const DeviceInt4Weights device(host.view());
    const auto expect_same = [](const auto* copy, const auto* original, std::size_t count) {
      std::vector<std::remove_cvref_t<decltype(*original)>> back(count);
      copy_to_host(std::as_writable_bytes(std::span(back)), copy, Stream{nullptr});
      EXPECT_TRUE(std::equal(back.begin(), back.end(), original));
    };
    expect_same(device.view().words, host.words(), std::size_t{48} * 8);
    expect_same(device.view().scales, host.scales(), std::size_t{48} * 2);
    ASSERT_EQ(device.view().zero_points != nullptr, zero);
    if (zero) expect_same(device.view().zero_points, host.zero_points(), std::size_t{48} * 2);
  }
}

}  // namespace
}  // namespace thermoe
