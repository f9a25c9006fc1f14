// SPDX-License-Identifier: Apache-2.0
#include "control/make_controller.h"

#include "control/baseline.h"
#include "control/expert_count.h"
#include "control/kernel_aware_ttha.h"
#include "control/static_optimal.h"
#include "control/ttha_adapter.h"
#include "core/errors.h"

namespace thermoe {

std::unique_ptr<Controller> make_controller(const ControllerConfig& config) {
  check(config);
  switch (config.strategy) {
    case Strategy::kBaseline:
    case Strategy::kLargerBatch:
      return std::make_unique<BaselineController>(config);
    case Strategy::kStaticOptimal:
      return std::make_unique<StaticOptimalController>(config);
    case Strategy::kReducedK:
    case Strategy::kOpportunistic:
      return std::make_unique<ExpertCountController>(config);
    case Strategy::kPacingAlone:
      return std::make_unique<KernelAwareTtha>(config, nullptr);
    case Strategy::kKernelAwareTtha:
    case Strategy::kPriceAlone: {
      std::unique_ptr<PlanAdapter> adapter;
      if (config.mode != TthaMode::kDualOnly) adapter = std::make_unique<TthaAdapter>(config);
      return std::make_unique<KernelAwareTtha>(config, std::move(adapter));
    }
  }
  throw UsageError("controller: unknown strategy");
}

}  // namespace thermoe
