// SPDX-License-Identifier: Apache-2.0
#include "machine/plant.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "machine/plant_config.h"

namespace thermoe {
namespace {

const std::string kData = std::string(THERMOE_SOURCE_DIR) + "/data/h100/";

/// Two layers in which `active` experts each have a token or more.
RoutingStats loads(int active) {
  RoutingStats stats{.layers = 2, .experts = 128, .tokens = 16};
  stats.counts.resize(256);
  for (int l = 0; l < 2; ++l) {
    for (int i = 0; i < 128; ++i) ++stats.counts[static_cast<std::size_t>(l * 128 + i % active)];
  }
  return stats;
}

class PlantOfTheH100 : public testing::Test {
 protected:
  Cost cost(const RoutingStats& stats, std::vector<std::string> dtypes,
            const RoutingPlan& plan) const {
    return step_charge({.costs = costs_, .dtypes = std::move(dtypes), .layer_repeat = 24}, stats,
                       plan)
        .cost;
  }
  Watts steady_power(int active) const {
    Plant plant(read_plant(kData + "plant.json"),
                {.costs = costs_, .dtypes = {"bf16"}, .layer_repeat = 24}, Seconds(0.016));
    TickOutcome last;
    for (int i = 0; i < 20; ++i) {
      last = plant.advance(Seconds(0.1), cost(loads(active), {"bf16"}, plan_), {});
    }
    return last.mean_power;
  }

  KernelCostModel costs_ = KernelCostModel::load(kData + "plant_cost_model.json");
  RoutingPlan plan_{2, 128, 8};
};

TEST_F(PlantOfTheH100, ChargesTheMeasuredWattsOfItsLoads) {
  // data/h100/moe_decode_energy.json, open_loop_fixed_rate: 82 experts 469 W, 40 experts 294 W.
  EXPECT_NEAR(steady_power(82).value, 469, 10);
  EXPECT_NEAR(steady_power(40).value, 294, 10);
}

TEST_F(PlantOfTheH100, NoiseVariesTheTimeOfStepsAroundTheChargedOneAndNotTheirJoules) {
  const Cost step = cost(loads(60), {"bf16"}, plan_);
  const auto times = [&](double noise, std::uint64_t seed) {
    SimulatedGpuConfig gpu = read_plant(kData + "plant.json");
    gpu.seed = seed;
    Plant plant(gpu, {.costs = costs_, .dtypes = {"bf16"}, .layer_repeat = 24}, Seconds(0.016),
                noise);
    std::vector<double> relative;
    for (int i = 0; i < 2000; ++i) {
      const TickOutcome tick = plant.advance(Seconds(0.1), step, {});
      relative.push_back(tick.step_time / step.latency);
    }
    return relative;
  };
  const std::vector<double> noisy = times(0.1, 1);
  double sum = 0.0, squares = 0.0;
  for (const double t : noisy) sum += t, squares += (t - 1) * (t - 1);
  EXPECT_NEAR(sum / 2000, 1.0, 0.01);
  EXPECT_NEAR(std::sqrt(squares / 2000), 0.1, 0.015);
  EXPECT_EQ(times(0.1, 1), noisy) << "a seed repeats it";
  EXPECT_NE(times(0.1, 2), noisy);
  for (const double t : times(0.0, 1)) EXPECT_NEAR(t, 1.0, 1e-9);

  Plant plant(read_plant(kData + "plant.json"),
              {.costs = costs_, .dtypes = {"bf16"}, .layer_repeat = 24}, Seconds(0.016), 0.1);
  Joules energy;
  double steps = 0.0;
  for (int i = 0; i < 200; ++i) {
    const TickOutcome tick = plant.advance(Seconds(0.1), step, {});
    energy += tick.energy;
    steps += tick.steps;
  }
  const Joules idle = plant.gpu().config().idle_active * Seconds(20);
  EXPECT_NEAR((energy - idle) / (steps * step.energy), 1.0, 1e-3);
}

TEST_F(PlantOfTheH100, FewerActiveExpertsCostLessTimeAndEnergy) {
  const Cost many = cost(loads(80), {"bf16"}, plan_);
  const Cost few = cost(loads(40), {"bf16"}, plan_);
  EXPECT_LT(few.latency, many.latency);
  EXPECT_LT(few.energy, many.energy);
}

TEST_F(PlantOfTheH100, MixedPrecisionLiesBetweenItsParts) {
  RoutingPlan mixed(2, 128, 8);
  for (int l = 0; l < 2; ++l) {
    for (std::size_t e = 1; e < 128; e += 2) mixed.variant(l)[e] = 1;
  }
  const Cost bf16 = cost(loads(80), {"bf16"}, mixed);
  const Cost int4 = cost(loads(80), {"int4"}, mixed);
  const Cost both = cost(loads(80), {"bf16", "int4"}, mixed);
  EXPECT_NEAR(both.energy.value, (bf16.energy.value + int4.energy.value) / 2, 1e-9);
  EXPECT_LT(int4.energy, bf16.energy);
}

}  // namespace
}  // namespace thermoe
