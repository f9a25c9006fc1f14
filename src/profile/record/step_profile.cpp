// SPDX-License-Identifier: Apache-2.0
#include "profile/record/step_profile.h"

#include <algorithm>
#include <optional>

namespace thermoe {
namespace {

StepRow row_of(const CalibratedStep& step, Watts idle, int tokens) {
  return {.batch = static_cast<double>(tokens),
          .active_experts = step.active,
          .step = step.latency,
          .energy = step.energy + idle * step.latency};
}

}  // namespace

bool profile_steps(const StepProfileRequest& request, const StepProfileBench& bench,
                   std::vector<StepRow> known,
                   const std::function<void(const std::vector<StepRow>&)>& keep) {
  const RouterSpec router{.experts = request.shape.experts, .k = request.shape.top_k};
  for (const int tokens : request.tokens) {
    const auto is_of_batch = [&](const StepRow& row) { return row.batch == tokens; };
    if (std::ranges::any_of(known, is_of_batch)) continue;
    const std::unique_ptr<StepLoad> load = bench.make_load(tokens);
    const std::optional<CostCalibration> found = calibrate_costs(
        {.shape = request.shape,
         .dtypes = {request.dtype},
         .router = router,
         .layers = request.shape.layers,
         .tokens = tokens,
         .base = request.base,
         .device = request.device,
         .driver = request.driver,
         .seed = request.seed,
         .timing = request.timing},
        {.load = *load, .monitor = bench.monitor, .clock = bench.clock, .stop = bench.stop},
        bench.progress);
    if (!found) return false;
    for (const CalibratedStep& step : found->fit.steps) {
      known.push_back(row_of(step, found->fit.idle_active, tokens));
    }
    std::ranges::stable_sort(known, {}, &StepRow::batch);
    keep(known);
  }
  return true;
}

}  // namespace thermoe
