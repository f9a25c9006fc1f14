// SPDX-License-Identifier: Apache-2.0
#include "machine/calibration/cost_calibration.h"

#include <algorithm>
#include <utility>

#include "core/errors.h"

namespace thermoe {
namespace {

void check(const CalibrationRequest& request) {
  THERMOE_EXPECT(!request.dtypes.empty(), "a calibration needs a dtype");
  THERMOE_EXPECT(request.router.experts == request.shape.experts,
                 "the router has {} experts, {} has {}", request.router.experts, request.shape.name,
                 request.shape.experts);
  THERMOE_EXPECT(request.layers >= 1 && request.tokens >= 1,
                 "layers={} and tokens={} must be positive", request.layers, request.tokens);
}

CalibrationPlanRequest plan_request(const CalibrationRequest& request, Seconds slowest_step) {
  return {.variants = static_cast<int>(request.dtypes.size()),
          .active = active_grid(request.router.k, request.router.experts, request.tokens),
          .period = request.step_period,
          .longer_period = 2.0 * std::max(request.step_period, slowest_step),
          .seed = request.seed,
          .timing = request.timing};
}

}  // namespace

std::optional<CostCalibration> calibrate_costs(const CalibrationRequest& request,
                                               const CalibrationBench& bench,
                                               const CalibrationProgress& progress) {
  check(request);
  const CalibrationTiming& timing = request.timing;
  const int most = active_grid(request.router.k, request.router.experts, request.tokens).back();
  CalibrationRun run(bench, {.router = request.router,
                             .layers = request.layers,
                             .tokens = request.tokens,
                             .seed = request.seed});
  Seconds slowest{};
  for (int v = 0; v < static_cast<int>(request.dtypes.size()); ++v) {
    const auto stretch =
        run.run({.variant = v, .active = most, .settle = timing.warm_up, .length = timing.warm_up});
    if (!stretch) return std::nullopt;
    slowest = std::max(slowest, run.step_time(*stretch));
  }
  const CalibrationPlanRequest planned = plan_request(request, slowest);
  const std::vector<CalibrationWindow> windows = plan_calibration(planned);
  const Seconds whole = planned_time(planned, windows);
  Seconds left{};
  for (const CalibrationWindow& window : windows) left += window.length + timing.change;
  std::vector<CalibrationStretch> stretches;
  for (const CalibrationWindow& window : windows) {
    progress(whole - left, whole);
    const auto stretch = run.run(window);
    if (!stretch) return std::nullopt;
    stretches.push_back(*stretch);
    left -= window.length + timing.change;
  }
  return calibration_of(request, run.end(std::move(stretches)));
}

}  // namespace thermoe
