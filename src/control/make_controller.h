// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "control/controller.h"
#include "control/controller_config.h"

namespace thermoe {

/// The controller that `config.strategy` names. Calibrates STATIC_OPTIMAL (milliseconds a
/// calibration sample). Throws UsageError for an impossible config. Linked from
/// thermoe_control_torch; the header needs no LibTorch.
std::unique_ptr<Controller> make_controller(const ControllerConfig& config);

}  // namespace thermoe
