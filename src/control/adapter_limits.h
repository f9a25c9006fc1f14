// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "control/controller_config.h"
#include "control/plan_adapter.h"

namespace thermoe {

/// What of an adapter's output is let through: prior + delta b within the bias clamp, delta log
/// lambda within its own. The one place that says so; the adapter trains on what it returns.
AdapterOutput within_limits(const ControllerConfig& config, const PricingParameters& prior,
                            AdapterOutput output);

/// The exact rule's parameters under an output within the limits. The prior has unit prices.
PricingParameters adapted(PricingParameters prior, const AdapterOutput& output);

}  // namespace thermoe
