// SPDX-License-Identifier: Apache-2.0
#include "run/baseline_reference.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

namespace thermoe {
namespace {

// Two streams, vocabulary of two: p = (3/4, 1/4) and (1/2, 1/2).
const std::vector<float> kBaseline = {std::log(3.0F), 0.0F, 0.0F, 0.0F};
const std::vector<std::uint8_t> kTargets = {1, 0};
const std::vector<double> kNats = target_nats(kBaseline, kTargets);

TEST(BaselineReference, BitsAreMinusLog2OfTheTarget) {
  EXPECT_NEAR(bits_per_byte(kNats), (2.0 + 1.0) / 2, 1e-6);
}

TEST(BaselineReference, LargeLogitsDoNotOverflow) {
  const std::vector<float> logits = {1e4F, 0.0F};
  const std::vector<std::uint8_t> likely = {0};
  EXPECT_NEAR(bits_per_byte(target_nats(logits, likely)), 0.0, 1e-9);
}

TEST(BaselineReference, TheSamePredictionsDivergeByNothing) {
  BaselineReference reference(1);
  reference.record(kBaseline, kNats);
  const StepQuality quality = reference.compare(0, kBaseline, kNats);
  EXPECT_NEAR(*quality.kl_to_baseline, 0.0, 1e-6);
  EXPECT_DOUBLE_EQ(*quality.baseline_bits, *quality.bits_per_byte);
  EXPECT_DOUBLE_EQ(*quality.top1_agreement, 1.0);
}

TEST(BaselineReference, DivergenceIsFromBaselineToTheStrategyInNats) {
  BaselineReference reference(1);
  reference.record(kBaseline, kNats);
  // The strategy: (1/2, 1/2) and (1/2, 1/2). KL((3/4,1/4) || (1/2,1/2)) = 0.130812 nats.
  const std::vector<float> flat(4, 7.0F);
  const StepQuality quality = reference.compare(0, flat, target_nats(flat, kTargets));
  EXPECT_NEAR(*quality.kl_to_baseline, 0.1308124 / 2, 1e-6);
  EXPECT_NEAR(*quality.bits_per_byte, 1.0, 1e-6);
  EXPECT_NEAR(*quality.baseline_bits, 1.5, 1e-6);
}

TEST(BaselineReference, StepsBetweenSamplesHaveBitsButNoDivergence) {
  BaselineReference reference(2);
  for (int i = 0; i < 3; ++i) reference.record(kBaseline, kNats);
  EXPECT_TRUE(reference.compare(0, kBaseline, kNats).kl_to_baseline.has_value());
  EXPECT_FALSE(reference.compare(1, kBaseline, kNats).kl_to_baseline.has_value());
  EXPECT_TRUE(reference.compare(1, kBaseline, kNats).baseline_bits.has_value());
  EXPECT_TRUE(reference.compare(2, kBaseline, kNats).kl_to_baseline.has_value());
  EXPECT_FALSE(reference.compare(3, kBaseline, kNats).baseline_bits.has_value());
}

TEST(TextPieces, BeginWhereAStreamRestartsAndArePairedInOrder) {
  constexpr double kBit = std::numbers::ln2;
  TextPieces strategy, baseline;
  const auto add = [&](const std::vector<int>& restarts, double first, double second) {
    strategy.add(restarts, std::vector<double>{first * kBit, second * kBit});
    baseline.add(restarts, std::vector<double>{kBit, kBit});
  };
  add({0, 1}, 2, 3);
  add({}, 2, 3);
  add({1}, 2, 5);  // stream 1 begins another document
  add({}, 2, 5);
  const std::vector<PairedPiece> pairs = strategy.beside(baseline);
  ASSERT_EQ(pairs.size(), 3U);
  const double bits[] = {8, 6, 10};
  const double plain[] = {4, 2, 2};
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_NEAR(pairs[i].bits, bits[i], 1e-12);
    EXPECT_NEAR(pairs[i].baseline, plain[i], 1e-12);
  }
}

TEST(TextPieces, MayBeginInTheMiddleOfADocument) {
  TextPieces pieces;
  pieces.add({}, std::vector<double>{1, 1, 1});
  EXPECT_EQ(pieces.beside(pieces).size(), 3U);
}

}  // namespace
}  // namespace thermoe
