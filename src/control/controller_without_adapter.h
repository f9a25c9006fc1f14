// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "control/controller.h"
#include "control/controller_config.h"

namespace thermoe {

/// The controller that `config.strategy` names, KERNEL_AWARE_TTHA as the dual alone: what can be
/// had without LibTorch. Calibrates STATIC_OPTIMAL (milliseconds a calibration sample). Throws
/// UsageError for an impossible config.
std::unique_ptr<Controller> controller_without_adapter(const ControllerConfig& config);

}  // namespace thermoe
