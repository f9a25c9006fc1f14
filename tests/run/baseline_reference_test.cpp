// SPDX-License-Identifier: Apache-2.0
#include "run/baseline_reference.h"

#include <gtest/gtest.h>

#include <cmath>

namespace thermoe {
namespace {

// Two streams, vocabulary of two: p = (3/4, 1/4) and (1/2, 1/2).
const std::vector<float> kBaseline = {std::log(3.0F), 0.0F, 0.0F, 0.0F};
const std::vector<std::uint8_t> kTargets = {1, 0};

TEST(BaselineReference, BitsAreMinusLog2OfTheTarget) {
  EXPECT_NEAR(bits_per_byte(kBaseline, kTargets), (2.0 + 1.0) / 2, 1e-6);
}

TEST(BaselineReference, LargeLogitsDoNotOverflow) {
  const std::vector<float> logits = {1e4F, 0.0F};
  const std::vector<std::uint8_t> likely = {0};
  EXPECT_NEAR(bits_per_byte(logits, likely), 0.0, 1e-9);
}

TEST(BaselineReference, TheSamePredictionsDivergeByNothing) {
  BaselineReference reference(1);
  reference.record(kBaseline, kTargets);
  const StepQuality quality = reference.compare(0, kBaseline, kTargets);
  EXPECT_NEAR(*quality.kl_to_baseline, 0.0, 1e-6);
  EXPECT_DOUBLE_EQ(*quality.baseline_bits, quality.bits_per_byte);
  EXPECT_DOUBLE_EQ(*quality.top1_agreement, 1.0);
}

TEST(BaselineReference, DivergenceIsFromBaselineToTheStrategyInNats) {
  BaselineReference reference(1);
  reference.record(kBaseline, kTargets);
  // The strategy: (1/2, 1/2) and (1/2, 1/2). KL((3/4,1/4) || (1/2,1/2)) = 0.130812 nats.
  const std::vector<float> flat(4, 7.0F);
  const StepQuality quality = reference.compare(0, flat, kTargets);
  EXPECT_NEAR(*quality.kl_to_baseline, 0.1308124 / 2, 1e-6);
  EXPECT_NEAR(quality.bits_per_byte, 1.0, 1e-6);
  EXPECT_NEAR(*quality.baseline_bits, 1.5, 1e-6);
}

TEST(BaselineReference, StepsBetweenSamplesHaveBitsButNoDivergence) {
  BaselineReference reference(2);
  for (int i = 0; i < 3; ++i) reference.record(kBaseline, kTargets);
  EXPECT_TRUE(reference.compare(0, kBaseline, kTargets).kl_to_baseline.has_value());
  EXPECT_FALSE(reference.compare(1, kBaseline, kTargets).kl_to_baseline.has_value());
  EXPECT_TRUE(reference.compare(1, kBaseline, kTargets).baseline_bits.has_value());
  EXPECT_TRUE(reference.compare(2, kBaseline, kTargets).kl_to_baseline.has_value());
  EXPECT_FALSE(reference.compare(3, kBaseline, kTargets).baseline_bits.has_value());
}

}  // namespace
}  // namespace thermoe
