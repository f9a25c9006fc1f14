// SPDX-License-Identifier: Apache-2.0
#include "cost/table_bends.h"

#include <gtest/gtest.h>

#include <cmath>

namespace thermoe {
namespace {

std::vector<Bend> of_kind(const std::vector<Bend>& bends, BendKind kind) {
  std::vector<Bend> found;
  for (const Bend& bend : bends) {
    if (bend.kind == kind) found.push_back(bend);
  }
  return found;
}

TEST(TableBends, ALineThroughZeroHasNone) {
  EXPECT_TRUE(
      find_bends(std::vector<CurvePoint>{{1, 2}, {4, 8}, {16, 32}, {64, 128}}, true).empty());
}

TEST(TableBends, WhatIsThereBeforeAnyLoadIsAnActivationCost) {
  // Weights are read whatever the tokens, until arithmetic takes longer.
  const auto bends = find_bends(
      std::vector<CurvePoint>{{1, 40}, {16, 40.5}, {64, 41}, {256, 80}, {1024, 320}}, true);
  ASSERT_EQ(bends.size(), 1u);
  EXPECT_EQ(bends[0].kind, BendKind::kActivation);
  EXPECT_EQ(bends[0].from.x, 1.0);
  EXPECT_EQ(bends[0].to.x, 64.0);
  EXPECT_GT(bends[0].relative, 0.99);
  // A layer's constant: 10 + 3 D.
  const auto layer = find_bends(std::vector<CurvePoint>{{10, 40}, {20, 70}, {40, 130}}, false);
  ASSERT_EQ(layer.size(), 1u);
  EXPECT_NEAR(layer[0].relative, 10.0 / 40.0, 1e-9);
  EXPECT_EQ(layer[0].to.x, 10.0) << "not flat";
}

TEST(TableBends, AJumpBetweenTwoRowsIsATileStep) {
  const auto bends = find_bends(
      std::vector<CurvePoint>{{1, 12}, {4, 12}, {16, 12.5}, {32, 25}, {64, 26}, {128, 29}}, true);
  const auto steps = of_kind(bends, BendKind::kTileStep);
  ASSERT_EQ(steps.size(), 1u);
  EXPECT_EQ(steps[0].from.x, 16.0);
  EXPECT_EQ(steps[0].to.x, 32.0);
  EXPECT_NEAR(steps[0].relative, 1.0, 1e-9);
  EXPECT_TRUE(of_kind(bends, BendKind::kWave).empty());
}

std::vector<CurvePoint> staircase(double distance, double grid, double end) {
  std::vector<CurvePoint> points;
  for (double x = grid; x <= end; x += grid) points.push_back({x, 5.0 * std::ceil(x / distance)});
  return points;
}

TEST(TableBends, JumpsAtEqualDistancesAreWavesOrTiles) {
  const auto waves = of_kind(find_bends(staircase(132, 33, 700), true), BendKind::kWave);
  ASSERT_EQ(waves.size(), 1u);
  EXPECT_EQ(waves[0].steps, 4) << "the last has no row beyond it";
  EXPECT_NEAR(waves[0].period, 132.0, 1e-9);
  EXPECT_EQ(waves[0].from.x, 132.0);
  const auto tiles = of_kind(find_bends(staircase(64, 16, 400), true), BendKind::kTileStep);
  ASSERT_EQ(tiles.size(), 1u);
  EXPECT_NEAR(tiles[0].period, 64.0, 1e-9);
  // Experts are not tiled: the same distance among them is of waves.
  EXPECT_EQ(of_kind(find_bends(staircase(64, 16, 400), false), BendKind::kWave).size(), 1u);
}

TEST(TableBends, JumpsHereAndThereStayApart) {
  std::vector<CurvePoint> points = staircase(1000, 10, 400);
  for (CurvePoint& p : points) p.y += (p.x > 30) * 2.0 + (p.x > 60) * 2.0 + (p.x > 310) * 3.0;
  EXPECT_EQ(of_kind(find_bends(points, true), BendKind::kTileStep).size(), 3u);
}

TEST(TableBends, NoiseIsNoBend) {
  std::vector<CurvePoint> points;
  for (int i = 1; i <= 40; ++i) points.push_back({i * 8.0, i * 10.0 * (1.0 + 0.01 * (i % 3 - 1))});
  EXPECT_TRUE(of_kind(find_bends(points, true), BendKind::kTileStep).empty());
  EXPECT_TRUE(of_kind(find_bends(points, true), BendKind::kWave).empty());
}

}  // namespace
}  // namespace thermoe
