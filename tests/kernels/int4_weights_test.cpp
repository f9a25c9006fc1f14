// SPDX-License-Identifier: Apache-2.0
#include "kernels/int4_weights.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "core/errors.h"

namespace thermoe {
namespace {

std::vector<float> random_matrix(int rows, int columns, float mean) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal(mean, 1.0F);
  std::vector<float> w(static_cast<std::size_t>(rows) * columns);
  for (float& x : w) x = normal(random);
  return w;
}

TEST(Int4Weights, WordsHoldEightInputsLowestNibbleFirstInPanelsOfSixteenOutputs) {
  Int4Weights w(20, 64, {.group = 32, .with_zero_point = true});
  w.set_q(18, 13, 5);  // panel 1, word 13 / 8 = 1, lane 2, nibble 13 % 8 = 5
  const std::size_t word = (1 * (64 / 8) + 1) * 16 + 2;
  EXPECT_EQ(w.words()[word], 0x8858'8888U);
  EXPECT_EQ(w.q(18, 13), 5);
  w.set_group(18, 1, 0.25F, 3);  // panel 1, group 1, lane 2
  const std::size_t cell = (1 * 2 + 1) * 16 + 2;
  EXPECT_EQ(w.scales()[cell], 0.25F);
  EXPECT_EQ(w.zero_points()[cell], 3);
}

TEST(Int4Weights, PaddingOutputsAreZeroWeights) {
  const auto dense = random_matrix(17, 32, 0.0F);
  const Int4Weights w = quantise_int4(dense.data(), 17, 32, {.group = 32});
  for (int lane = 1; lane < 16; ++lane) EXPECT_EQ(w.scales()[16 + lane], 0.0F);
  EXPECT_EQ(w.zero_points(), nullptr);
}

TEST(Int4Weights, RoundingErrsByHalfAStepAtMost) {
  for (const int group : {32, 64, 128}) {
    for (const bool zero : {false, true}) {
      for (const float mean : {0.0F, 3.0F}) {
        const auto dense = random_matrix(9, 256, mean);
        const Int4Weights w = quantise_int4(dense.data(), 9, 256, {group, zero});
        std::vector<float> back(dense.size());
        dequantise_int4(w, back.data());
        for (int i = 0; i < 9 * 256; ++i) {
          const float scale = w.scale(i / 256, i % 256 / group);
          // A rounded zero point may push a range's end half a step further.
          ASSERT_LE(std::abs(back[i] - dense[i]), (zero ? 1.001F : 0.501F) * scale) << i;
        }
      }
    }
  }
}

TEST(Int4Weights, AZeroPointServesOneSidedWeightsBetter) {
  const auto dense = random_matrix(4, 128, 4.0F);
  double error[2] = {};
  for (const bool zero : {false, true}) {
    std::vector<float> back(dense.size());
    dequantise_int4(quantise_int4(dense.data(), 4, 128, {128, zero}), back.data());
    for (std::size_t i = 0; i < dense.size(); ++i) error[zero] += std::abs(back[i] - dense[i]);
  }
  EXPECT_LT(error[1], 0.8 * error[0]);
}

TEST(Int4Weights, GroupsOfOneValueAreExact) {
  for (const float value : {0.0F, 2.5F, -2.5F}) {
    for (const bool zero : {false, true}) {
      const std::vector<float> dense(64, value);
      std::vector<float> back(64);
      dequantise_int4(quantise_int4(dense.data(), 2, 32, {32, zero}), back.data());
      for (const float w : back) EXPECT_NEAR(w, value, 1e-6F);
    }
  }
}

TEST(Int4Weights, ValuesOnTheGridSurviveARoundTripExactly) {
  for (const bool zero : {false, true}) {
    Int4Weights first(16, 32, {32, zero});
    for (int n = 0; n < 16; ++n) {
      first.set_group(n, 0, 0.5F, zero ? 6 : 8);
      for (int k = 0; k < 32; ++k) first.set_q(n, k, zero ? k % 16 : 1 + (n + k) % 15);
    }
    std::vector<float> dense(16 * 32);
    dequantise_int4(first, dense.data());
    std::vector<float> again(16 * 32);
    dequantise_int4(quantise_int4(dense.data(), 16, 32, {32, zero}), again.data());
    EXPECT_EQ(again, dense);
  }
}

TEST(Int4Weights, RefusesShapesAndValuesThatDoNotFit) {
  const std::vector<float> dense(256, 1.0F);
  EXPECT_THROW(quantise_int4(dense.data(), 2, 100, {.group = 32}), PreconditionError);
  EXPECT_THROW(quantise_int4(dense.data(), 2, 96, {.group = 64}), PreconditionError);
  EXPECT_THROW(quantise_int4(dense.data(), 2, 48, {.group = 48}), PreconditionError);
  EXPECT_THROW(quantise_int4(dense.data(), 0, 32, {.group = 32}), PreconditionError);
  EXPECT_THROW(quantise_int4(nullptr, 1, 32, {.group = 32}), PreconditionError);
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    std::vector<float> spoilt = dense;
    spoilt[40] = bad;
    EXPECT_THROW(quantise_int4(spoilt.data(), 2, 32, {.group = 32}), PreconditionError);
  }
  Int4Weights w(1, 32, {.group = 32});
  EXPECT_THROW(w.set_q(0, 0, 16), PreconditionError);
  EXPECT_THROW(w.set_q(1, 0, 1), PreconditionError);
  EXPECT_THROW(w.set_q(0, 32, 1), PreconditionError);
  EXPECT_THROW(w.set_group(0, 0, 1.0F, 7), PreconditionError);
  EXPECT_THROW(w.set_group(0, 1, 1.0F), PreconditionError);
}

}  // namespace
}  // namespace thermoe
