// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "control/controller_config.h"
#include "control/plan_adapter.h"

namespace thermoe {

inline constexpr int kAdapterFeatures = 9;

/// What the adapter sees of each expert, [layers, experts, kAdapterFeatures], all of order one:
///   0 energy at the current load, relative to a mean activation   4 power / target - 1
///   1 share of the batch's tokens that it received                5 (temperature - target) / 10 C
///   2 mean utility, relative to an even spread                    6 step time / target - 1
///   3 1 if its precision differs from variant 0                   7 log(1 + lambda)
///                                                                 8 active experts, share
/// 4 to 8 are the same for all experts; a missing target or reading gives 0.
std::vector<float> adapter_features(const ControllerConfig& config, const AdapterTick& tick);

}  // namespace thermoe
