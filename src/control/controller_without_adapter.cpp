// SPDX-License-Identifier: Apache-2.0
#include "control/controller_without_adapter.h"

#include "control/baseline.h"
#include "control/expert_count.h"
#include "control/kernel_aware_ttha.h"
#include "control/static_optimal.h"
#include "core/errors.h"

namespace thermoe {

std::unique_ptr<Controller> controller_without_adapter(const ControllerConfig& config) {
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
    case Strategy::kKernelAwareTtha:
    case Strategy::kPriceAlone:
    case Strategy::kPacingAlone:
      return std::make_unique<KernelAwareTtha>(config, nullptr);
  }
  throw UsageError("controller: unknown strategy");
}

}  // namespace thermoe
