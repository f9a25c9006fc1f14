// SPDX-License-Identifier: Apache-2.0
// The unfused ops on a CUDA device against the CPU's.
#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <vector>

#include "device_copy.h"
#include "half_floats.h"
#include "kernels/device_int4_weights.h"
#include "kernels/unfused.h"

namespace thermoe {
namespace {

std::vector<float> normal(std::size_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> value;
  std::vector<float> values(n);
  for (float& v : values) v = value(random);
  return values;
}

template <class T>
std::vector<T> values_of(const Poisoned& memory) {
  const std::vector<std::byte> bytes = memory.bytes();
  std::vector<T> values(bytes.size() / sizeof(T));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

TEST(UnfusedOnDevice, AnActivationIsTheCpus) {
  constexpr int kTokens = 7, kWidth = 1001;
  const auto gate = normal(kTokens * kWidth, 1), up = normal(kTokens * kWidth, 2);
  const auto device_gate = copied(gate.data(), gate.size());
  const auto device_up = copied(up.data(), up.size());
  for (const ExpertKind kind : {ExpertKind::kSwiGlu, ExpertKind::kRelu, ExpertKind::kGelu}) {
    ExpertActivationArgs args{.kind = kind,
                              .gate = kind == ExpertKind::kSwiGlu ? gate.data() : nullptr,
                              .up = up.data(),
                              .tokens = kTokens,
                              .width = kWidth};
    std::vector<float> expected(gate.size());
    args.out = expected.data();
    expert_activation(Backend::kCpu, args, Stream{nullptr});
    const Poisoned out(4 * gate.size());
    args.gate = kind == ExpertKind::kSwiGlu ? device_gate.data() : nullptr;
    args.up = device_up.data();
    args.out = out.data();
    expert_activation(Backend::kCuda, args, Stream{nullptr});
    const auto values = values_of<float>(out);
    for (std::size_t i = 0; i < values.size(); ++i) ASSERT_NEAR(values[i], expected[i], 1e-5F);
  }
}

TEST(UnfusedOnDevice, UnpackedWeightsAreTheCpusRoundedToBf16) {
  for (const bool zero_point : {false, true}) {
    constexpr int kOutputs = 37, kInputs = 416;
    const Int4Weights packed = quantise_int4(normal(kOutputs * kInputs, 3).data(), kOutputs,
                                             kInputs, {.group = 32, .with_zero_point = zero_point});
    std::vector<float> expected(kOutputs * kInputs);
    dequant_unpack(Backend::kCpu, {.weights = packed.view(), .out = expected.data()},
                   Stream{nullptr});
    const DeviceInt4Weights weights(packed.view());
    const Poisoned out(2 * expected.size());
    dequant_unpack(Backend::kCuda,
                   {.weights = weights.view(), .out = out.data(), .type = FloatType::kBf16},
                   Stream{nullptr});
    const auto values = values_of<std::uint16_t>(out);
    for (std::size_t i = 0; i < values.size(); ++i)
      ASSERT_EQ(values[i], to_bits(FloatType::kBf16, rounded_to(FloatType::kBf16, expected[i])));
  }
}

}  // namespace
}  // namespace thermoe
