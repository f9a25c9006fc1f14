// SPDX-License-Identifier: Apache-2.0
#include "kernels/unfused.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "core/errors.h"
#include "kernels/expert_ids.h"

namespace thermoe {
namespace {

std::vector<float> normal(std::size_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> value;
  std::vector<float> values(n);
  for (float& v : values) v = value(random);
  return values;
}

TEST(Unfused, AnActivationIsItsFormula) {
  const std::vector<float> gate = normal(3 * 5, 1), up = normal(3 * 5, 2);
  std::vector<float> out(gate.size());
  const auto run = [&](ExpertKind kind) {
    expert_activation(Backend::kCpu,
                      {.kind = kind,
                       .gate = kind == ExpertKind::kSwiGlu ? gate.data() : nullptr,
                       .up = up.data(),
                       .tokens = 3,
                       .width = 5,
                       .out = out.data()},
                      Stream{nullptr});
  };
  run(ExpertKind::kSwiGlu);
  for (std::size_t i = 0; i < out.size(); ++i) {
    EXPECT_NEAR(out[i], double{gate[i]} / (1.0 + std::exp(-double{gate[i]})) * up[i], 1e-6);
  }
  run(ExpertKind::kRelu);
  for (std::size_t i = 0; i < out.size(); ++i) EXPECT_EQ(out[i], up[i] > 0 ? up[i] : 0.0F);
  run(ExpertKind::kGelu);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const double x = up[i];
    EXPECT_NEAR(out[i], x / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))),
                1e-6);
  }
}

TEST(Unfused, UnpackingGivesTheMatrixThatInt4StandsFor) {
  for (const bool zero_point : {false, true}) {
    constexpr int kOutputs = 21, kInputs = 96;  // a last panel that is not full
    const Int4Weights packed = quantise_int4(normal(kOutputs * kInputs, 3).data(), kOutputs,
                                             kInputs, {.group = 32, .with_zero_point = zero_point});
    std::vector<float> expected(kOutputs * kInputs), out(kOutputs * kInputs);
    dequantise_int4(packed, expected.data());
    dequant_unpack(Backend::kCpu, {.weights = packed.view(), .out = out.data()}, Stream{nullptr});
    EXPECT_EQ(out, expected);
  }
}

TEST(Unfused, AGateThatIsMissingIsRefused) {
  float x = 0.0F;
  EXPECT_THROW(expert_activation(Backend::kCpu, {.up = &x, .tokens = 1, .width = 1, .out = &x},
                                 Stream{nullptr}),
               PreconditionError);
}

TEST(ExpertIds, ABatchWakesExactlyAsManyExpertsAsAsked) {
  for (const int active : {1, 3, 8, 20, 64}) {
    const Breadth breadth{.tokens = 16, .k = 8, .experts = 64, .active = active};
    std::vector<int> load(64);
    int empty = 0;
    for (const std::int32_t e : ids_of_breadth(breadth, 7)) {
      if (e < 0) {
        ++empty;
      } else {
        ++load.at(static_cast<std::size_t>(e));
      }
    }
    EXPECT_EQ(std::count_if(load.begin(), load.end(), [](int n) { return n > 0; }), active);
    EXPECT_EQ(empty, 16 * std::max(0, 8 - active));  // fewer experts than slots leave some empty
  }
}

}  // namespace
}  // namespace thermoe
