// SPDX-License-Identifier: Apache-2.0
#include "machine/calibration/sensor_lag_fit.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace thermoe {
namespace {

/// Six bursts from 120 W to 420 W as a sensor shows them that samples each 0.1 s.
struct Edges {
  std::vector<LoadBurst> bursts{};
  std::vector<PowerSample> samples{};
};

Edges edges_with(const SensorLag& lag, double change = 300.0, double noise = 0.0) {
  Edges edges;
  double t = 2.0;
  for (int i = 0; i < 6; ++i) {
    const double length = 0.6 + i / 60.0;
    edges.bursts.push_back({Seconds(t), Seconds(t + length)});
    t += 2.0 * length;
  }
  std::mt19937_64 random(1);
  std::normal_distribution<double> normal(0.0, noise);
  for (int i = 15; 0.1 * i < t; ++i) {
    const double at = 0.1 * i + 0.003;
    const double to = at - lag.delay.value;
    const double from = to - lag.window.value;
    double worked = 0.0;
    for (const LoadBurst& burst : edges.bursts) {
      worked += std::max(0.0, std::min(to, burst.to.value) - std::max(from, burst.from.value));
    }
    const double power = 120.0 + change * worked / lag.window.value;
    edges.samples.push_back({Seconds(at), Watts(power + (noise > 0.0 ? normal(random) : 0.0))});
  }
  return edges;
}

TEST(SensorLagFit, FindsDelayAndWindowFromTheEdges) {
  for (const SensorLag lag :
       {SensorLag{Seconds(0.1), Seconds(0.025)}, SensorLag{Seconds(0.15), Seconds(0.1)},
        SensorLag{Seconds(0.05), Seconds(1.0)}}) {
    const Edges edges = edges_with(lag);
    const auto fit = fit_sensor_lag(edges.bursts, edges.samples);
    ASSERT_TRUE(fit);
    EXPECT_NEAR(fit->lag.delay.value, lag.delay.value, 0.02) << lag.window.value;
    EXPECT_NEAR(fit->lag.window.value, lag.window.value, 0.03) << lag.delay.value;
    EXPECT_NEAR(fit->low.value, 120.0, 2.0);
    EXPECT_NEAR(fit->high.value, 420.0, 2.0);
    EXPECT_LT(fit->residual, 0.01);
  }
}

TEST(SensorLagFit, NoiseMovesItByLittle) {
  const Edges edges = edges_with({Seconds(0.1), Seconds(0.025)}, 300.0, 6.0);
  const auto fit = fit_sensor_lag(edges.bursts, edges.samples);
  ASSERT_TRUE(fit);
  EXPECT_NEAR(fit->lag.delay.value, 0.1, 0.03);
  EXPECT_NEAR(fit->residual, 0.02, 0.01);
}

TEST(SensorLagFit, ASensorThatHardlyChangesSaysNothing) {
  const Edges small = edges_with({Seconds(0.1), Seconds(0.025)}, 10.0);
  EXPECT_FALSE(fit_sensor_lag(small.bursts, small.samples));
  const Edges noisy = edges_with({Seconds(0.1), Seconds(0.025)}, 0.0, 50.0);
  EXPECT_FALSE(fit_sensor_lag(noisy.bursts, noisy.samples));
  EXPECT_FALSE(fit_sensor_lag(small.bursts, {}));
}

}  // namespace
}  // namespace thermoe
