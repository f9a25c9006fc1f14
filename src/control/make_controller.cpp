// SPDX-License-Identifier: Apache-2.0
#include "control/make_controller.h"

#include "control/controller_without_adapter.h"
#include "control/kernel_aware_ttha.h"
#include "control/ttha_adapter.h"

namespace thermoe {

std::unique_ptr<Controller> make_controller(const ControllerConfig& config) {
  const bool adapts =
      config.strategy == Strategy::kKernelAwareTtha || config.strategy == Strategy::kPriceAlone;
  if (!adapts || config.mode == TthaMode::kDualOnly) return controller_without_adapter(config);
  check(config);
  return std::make_unique<KernelAwareTtha>(config, std::make_unique<TthaAdapter>(config));
}

}  // namespace thermoe
