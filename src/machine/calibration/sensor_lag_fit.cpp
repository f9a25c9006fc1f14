// SPDX-License-Identifier: Apache-2.0
#include "machine/calibration/sensor_lag_fit.h"

#include <algorithm>
#include <cmath>

namespace thermoe {
namespace {

constexpr double kLeastChange = 20.0;    // W: well above a sensor's noise
constexpr double kLeastExplained = 0.8;  // of the readings' variance
constexpr std::size_t kFewest = 12;      // readings
constexpr int kDelays = 101;             // of 5 ms
constexpr double kWindows[] = {0.005, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0};

/// How much of the sensor's window fell into bursts.
double share_of_work(std::span<const LoadBurst> bursts, Seconds read_at, const SensorLag& lag) {
  const Seconds to = read_at - lag.delay;
  const Seconds from = to - lag.window;
  Seconds worked{};
  for (const LoadBurst& burst : bursts) {
    worked += std::max(Seconds(0.0), std::min(to, burst.to) - std::max(from, burst.from));
  }
  return worked / lag.window;
}

/// Sums of a straight line through readings by share of work.
struct Regression {
  double n = 0, x = 0, y = 0, xx = 0, xy = 0, yy = 0;
  void add(double a, double b) { n += 1, x += a, y += b, xx += a * a, xy += a * b, yy += b * b; }
  double spread_x() const { return xx - x * x / n; }
  double spread_y() const { return yy - y * y / n; }
  double slope() const { return (xy - x * y / n) / spread_x(); }
  double left() const { return std::max(0.0, spread_y() - slope() * (xy - x * y / n)); }
};

Regression regress(std::span<const LoadBurst> bursts, std::span<const PowerSample> samples,
                   const SensorLag& lag) {
  Regression line;
  for (const PowerSample& sample : samples) {
    line.add(share_of_work(bursts, sample.read_at, lag), sample.power.value);
  }
  return line;
}

}  // namespace

std::optional<SensorLagFit> fit_sensor_lag(std::span<const LoadBurst> bursts,
                                           std::span<const PowerSample> samples) {
  if (samples.size() < kFewest) return std::nullopt;
  std::optional<SensorLag> best;
  Regression line;
  for (const double window : kWindows) {
    for (int i = 0; i < kDelays; ++i) {
      const SensorLag lag{.delay = Seconds(0.005 * i), .window = Seconds(window)};
      const Regression tried = regress(bursts, samples, lag);
      constexpr double kNothing = 1e-9;
      if (tried.spread_x() < kNothing || (best && tried.left() >= line.left())) continue;
      best = lag, line = tried;
    }
  }
  const bool follows = best && line.slope() >= kLeastChange &&
                       line.left() <= (1.0 - kLeastExplained) * line.spread_y();
  if (!follows) return std::nullopt;
  const double low = (line.y - line.slope() * line.x) / line.n;
  return SensorLagFit{.lag = *best,
                      .low = Watts(low),
                      .high = Watts(low + line.slope()),
                      .residual = std::sqrt(line.left() / line.n) / line.slope()};
}

}  // namespace thermoe
