// SPDX-License-Identifier: Apache-2.0
#include "kernels/expert_bank.h"

#include <gtest/gtest.h>

#include <vector>

#include "core/errors.h"

namespace thermoe {
namespace {

constexpr ExpertLayerShape kGated{.experts = 2, .d_model = 32, .d_ff = 64};

TEST(ExpertBank, Int4ReadsAFractionOfTheBytesOfF32) {
  const std::vector<float> w(2 * 32 * 64, 0.3F);
  ExpertBank bank(kGated);
  bank.load_f32({.gate = w.data(), .up = w.data(), .down = w.data()});
  bank.load_int4({.gate = w.data(), .up = w.data(), .down = w.data()}, {.group = 32});
  EXPECT_EQ(bank.expert_bytes(0), 3U * 32 * 64 * 4);
  EXPECT_EQ(bank.expert_bytes(1), 3U * 32 * 64 * 5 / 8);  // 4 bits, and a f32 scale for 32 weights
}

TEST(ExpertBank, WeightsThatAreExactInBf16TakeHalfTheBytes) {
  std::vector<float> w(2 * 32 * 64, 0.5F);
  ExpertBank bank(kGated);
  bank.load_f32({.gate = w.data(), .up = w.data(), .down = w.data()});
  EXPECT_TRUE(bank.has_f32() && bank.f32_is_bf16());
  EXPECT_EQ(bank.expert_bytes(0), 3U * 32 * 64 * 2);
  w.back() = 0.3F;
  bank.load_f32({.gate = w.data(), .up = w.data(), .down = w.data()});
  EXPECT_TRUE(bank.has_f32() && !bank.f32_is_bf16());
}

TEST(ExpertBank, RefusesTensorsThatDoNotBelongToItsKind) {
  const std::vector<float> w(2 * 32 * 64);
  ExpertBank gated(kGated);
  EXPECT_THROW(gated.load_f32({.up = w.data(), .down = w.data()}), PreconditionError);
  EXPECT_THROW(gated.load_f32({.gate = w.data(), .up = w.data()}), PreconditionError);
  ExpertBank plain({.experts = 2, .d_model = 32, .d_ff = 64, .kind = ExpertKind::kGelu});
  EXPECT_THROW(plain.load_f32({.gate = w.data(), .up = w.data(), .down = w.data()}),
               PreconditionError);
  EXPECT_THROW(plain.load_int4({.up = w.data(), .down = w.data()}, {.group = 128}),
               PreconditionError);
  EXPECT_FALSE(plain.has_f32() || plain.has_int4());
}

TEST(ExpertBank, RefusesInt4ExpertsOfAnotherShape) {
  const Int4Weights hidden(64, 32, {.group = 32});
  const Int4Weights down(32, 64, {.group = 32});
  ExpertBank bank(kGated);
  EXPECT_THROW(bank.load_int4({{hidden, hidden, down}}), PreconditionError);
  EXPECT_THROW(bank.load_int4({{hidden, hidden, down}, {hidden, down, down}}), PreconditionError);
  EXPECT_THROW(bank.load_int4({{hidden, hidden, down}, {{}, hidden, down}}), PreconditionError);
  bank.load_int4({{hidden, hidden, down}, {hidden, hidden, down}});
  EXPECT_TRUE(bank.has_int4());
}

TEST(ExpertBank, RefusesAGateAndAnUpOfDifferentGroups) {
  const Int4Weights coarse(64, 64, {.group = 64});
  const Int4Weights fine(64, 64, {.group = 32});
  ExpertBank bank({.experts = 1, .d_model = 64, .d_ff = 64});
  EXPECT_THROW(bank.load_int4({{coarse, fine, fine}}), PreconditionError);
}

TEST(ExpertBank, RefusesEmptyShapes) {
  EXPECT_THROW(ExpertBank({.experts = 0, .d_model = 1, .d_ff = 1}), PreconditionError);
  EXPECT_THROW(ExpertBank({.experts = 2000, .d_model = 1, .d_ff = 1}), PreconditionError);
  EXPECT_THROW(ExpertBank({.experts = 1, .d_model = 0, .d_ff = 1}), PreconditionError);
}

}  // namespace
}  // namespace thermoe
