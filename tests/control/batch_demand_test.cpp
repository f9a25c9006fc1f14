// SPDX-License-Identifier: Apache-2.0
#include "control/batch_demand.h"

#include <gtest/gtest.h>

#include "serving_loop.h"

namespace thermoe {
namespace {

using testing::LogitSource;
using testing::serving_config;

const ControllerConfig& config() {
  static const ControllerConfig value = serving_config(Strategy::kKernelAwareTtha, {});
  return value;
}

/// What a step's rows have in common: standard deviation of a logit that all of them add.
class Draws {
 public:
  Draws(double alike, std::uint32_t seed)
      : source_(config().layers, 16, 128, seed), alike_(alike), random_(seed + 1) {}

  RoutingStats next(int rows) {
    LogitSample sample = source_.next(rows);
    std::normal_distribution<double> normal;
    for (int l = 0; l < sample.layers; ++l) {
      for (int e = 0; e < sample.experts; ++e) {
        const auto common = static_cast<float>(alike_ * normal(random_));
        for (int t = 0; t < rows; ++t) sample.logits[((l * rows) + t) * 128 + e] += common;
      }
    }
    return plain_loads(Utilities(sample, config().router)).back();
  }

  double active(int rows) {
    double sum = 0.0;
    for (int i = 0; i < 60; ++i) sum += next(rows).mean_active() / 60.0;
    return sum;
  }

 private:
  LogitSource source_;
  double alike_;
  std::mt19937 random_;
};

struct Likeness {
  double alike;      ///< of the rows of a step
  int seen;          ///< rows of the steps that teach
  double tolerance;  ///< at half and at twice as many
};

class OtherBatches : public ::testing::TestWithParam<Likeness> {};

TEST_P(OtherBatches, HaveTheDistinctExpertsOfDraws) {
  const auto [alike, seen, tolerance] = GetParam();
  Draws draws(alike, 3);
  BatchDemand demand(config());
  for (int i = 0; i < 300; ++i) demand.learn(draws.next(seen), Seconds(0.1));
  EXPECT_NEAR(demand.active(seen), draws.active(seen), 0.015 * draws.active(seen));
  for (const int rows : {seen / 2, 2 * seen}) {
    EXPECT_NEAR(demand.active(rows), draws.active(rows), tolerance * draws.active(rows)) << rows;
  }
}

INSTANTIATE_TEST_SUITE_P(BatchDemand, OtherBatches,
                         ::testing::Values(Likeness{0.0, 4, 0.02}, Likeness{0.0, 16, 0.02},
                                           Likeness{0.0, 32, 0.02}, Likeness{1.0, 8, 0.03},
                                           Likeness{1.0, 16, 0.03}, Likeness{2.0, 16, 0.05}));

TEST(BatchDemand, CostsOfABatchThatRanAreThoseOfItsLoads) {
  Draws draws(0.0, 4);
  BatchDemand demand(config());
  const StepCost costs = testing::h100_like(config().layers);
  Cost ran;
  for (int i = 0; i < 200; ++i) {
    const RoutingStats stats = draws.next(16);
    demand.learn(stats, Seconds(0.1));
    ran += (1.0 / 200) * costs.step(stats);
  }
  const Cost told = demand.at(16, costs).cost;
  EXPECT_NEAR(told.energy.value, ran.energy.value, 0.015 * ran.energy.value);
  EXPECT_NEAR(told.latency.value, ran.latency.value, 0.015 * ran.latency.value);
}

TEST(BatchDemand, OneStepIsEnoughToSpeakOfAnyBatchWithinItsBounds) {
  Draws draws(0.0, 5);
  BatchDemand demand(config());
  EXPECT_TRUE(demand.empty());
  demand.learn(draws.next(1), Seconds(0.1));
  EXPECT_FALSE(demand.empty());
  EXPECT_NEAR(demand.active(1), 8.0, 1e-3);
  for (int rows = 1; rows < 64; rows *= 2) {
    EXPECT_GE(demand.active(2 * rows), demand.active(rows));
    EXPECT_LE(demand.active(2 * rows), 128.0);
  }
}

TEST(BatchDemand, ExpertsOfTwoPrecisionsAreChargedApart) {
  ControllerConfig mixed = config();
  StepCost costs = testing::h100_like(mixed.layers);
  costs.variants.push_back(CostCurve({{1.0, {Seconds(1e-6), Joules(0.4e-3), Celsius()}}}));
  mixed.costs = costs;
  mixed.variant.resize(static_cast<std::size_t>(mixed.layers) * 128);
  for (std::size_t i = 0; i < mixed.variant.size(); i += 2) mixed.variant[i] = 1;
  Draws draws(0.0, 6);
  BatchDemand demand(mixed);
  Cost ran;
  for (int i = 0; i < 200; ++i) {
    const RoutingStats stats = draws.next(16);
    demand.learn(stats, Seconds(0.1));
    ran += (1.0 / 200) * costs.step(stats, mixed.variant);
  }
  EXPECT_NEAR(demand.at(16, costs).cost.energy.value, ran.energy.value, 0.02 * ran.energy.value);
}

}  // namespace
}  // namespace thermoe
