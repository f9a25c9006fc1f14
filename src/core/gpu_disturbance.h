// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/units.h"

namespace thermoe {

/// What others do to the GPU during a tick.
struct GpuDisturbance {
  Watts background_power{};      ///< another tenant's, all the time
  double bandwidth_share = 0.0;  ///< of the memory bandwidth, taken by the tenant, [0, 1)
  Celsius ambient_offset{};
};

}  // namespace thermoe
