// SPDX-License-Identifier: Apache-2.0
#include "machine/calibration/calibration_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "core/errors.h"

namespace thermoe {
namespace {

constexpr int kCounts = 6;             // of active experts
constexpr int kPasses = 3;             // at the period, at the longer one, at the period again
constexpr Seconds kSensorPeriod{0.1};  // of an H100's sensors

/// Bursts of the most work between rests. Their lengths differ, so that a sensor that samples each
/// tenth of a second meets every edge in another phase.
std::vector<CalibrationWindow> edges(const CalibrationPlanRequest& request) {
  const CalibrationTiming& timing = request.timing;
  std::vector<CalibrationWindow> windows;
  for (int i = 0; i < timing.edges; ++i) {
    const Seconds length = timing.edge + (static_cast<double>(i) / timing.edges) * kSensorPeriod;
    windows.push_back({.active = request.active.back(),
                       .period = request.period,
                       .settle = length,
                       .length = length});
    windows.push_back({.settle = length, .length = length});
  }
  return windows;
}

std::vector<CalibrationWindow> levels(const CalibrationPlanRequest& request, Seconds length) {
  std::vector<CalibrationWindow> order;
  for (int v = 0; v < request.variants; ++v) {
    for (const int active : request.active) {
      order.push_back({.variant = v,
                       .active = active,
                       .period = request.period,
                       .settle = request.timing.settle,
                       .length = length});
    }
  }
  std::mt19937_64 random(request.seed);
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random() % i]);

  std::vector<CalibrationWindow> windows = order;
  for (CalibrationWindow window : order) {
    window.period = request.longer_period;
    windows.push_back(window);
  }
  windows.insert(windows.end(), order.rbegin(), order.rend());
  return windows;
}

Seconds time_of(const CalibrationTiming& timing, const std::vector<CalibrationWindow>& windows) {
  Seconds total{};
  for (const CalibrationWindow& window : windows) total += window.length + timing.change;
  return total;
}

}  // namespace

std::vector<int> active_grid(int k, int experts, int tokens) {
  THERMOE_EXPECT(k >= 1 && k <= experts && tokens >= 1,
                 "k={}, experts={}, tokens={}: need 1 <= k <= experts and a token", k, experts,
                 tokens);
  const int most = static_cast<int>(std::min<std::int64_t>(experts, std::int64_t{tokens} * k));
  const int count = std::min(kCounts, most - k + 1);
  std::vector<int> grid;
  for (int i = 0; i < count; ++i) {
    const double share = count > 1 ? static_cast<double>(i) / (count - 1) : 0.0;
    grid.push_back(k + static_cast<int>(std::lround(share * (most - k))));
  }
  return grid;
}

std::vector<CalibrationWindow> plan_calibration(const CalibrationPlanRequest& request) {
  const CalibrationTiming& timing = request.timing;
  THERMOE_EXPECT(request.variants >= 1 && !request.active.empty() && request.active.front() >= 1,
                 "a calibration needs a variant and active experts");
  THERMOE_EXPECT(request.longer_period > request.period, "longer_period {} s must exceed {} s",
                 request.longer_period.value, request.period.value);
  const CalibrationWindow rest{.settle = 0.5 * timing.idle, .length = timing.idle};
  std::vector<CalibrationWindow> windows{rest};
  std::ranges::copy(edges(request), std::back_inserter(windows));

  const auto counted = static_cast<double>(request.active.size()) * kPasses * request.variants;
  windows.push_back(rest);
  const Seconds left = timing.budget - planned_time(request, windows);
  windows.pop_back();
  const Seconds length = std::min(timing.window, left / counted - timing.change);
  if (length < timing.settle + timing.least_counted) {
    throw UsageError(fmt::format(
        "calibration: {} windows of at least {:.1f} s do not fit into {:.0f} s; calibrate fewer "
        "precisions at once, or allow more time",
        counted, (timing.settle + timing.least_counted).value, timing.budget.value));
  }
  std::ranges::copy(levels(request, length), std::back_inserter(windows));
  windows.push_back(rest);
  return windows;
}

Seconds planned_time(const CalibrationPlanRequest& request,
                     const std::vector<CalibrationWindow>& windows) {
  const Seconds warm_up = request.timing.warm_up + request.timing.change;
  return static_cast<double>(request.variants) * warm_up + time_of(request.timing, windows);
}

}  // namespace thermoe
