// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/units.h"

namespace thermoe {

/// What truly happened during a tick: no sensor in between.
struct TickOutcome {
  Seconds step_time{};    ///< as felt: stretched by lost bandwidth and throttling
  Seconds step_period{};  ///< from start to start, max(step_time, period)
  double steps = 0.0;     ///< work done, in steps (fractional: a step may span two ticks)
  Joules energy{};        ///< whole GPU: idle, steps and tenant
  Watts mean_power{};     ///< energy / tick
  Celsius temperature{};  ///< at the end of the tick
  Celsius memory_temperature{};
  double utilisation = 0.0;         ///< share of the tick in which a kernel ran (also a tenant's)
  double memory_utilisation = 0.0;  ///< share of the tick in which memory moved data
  Megahertz sm_clock{};             ///< mean
  bool throttled = false;           ///< at any time in the tick
};

}  // namespace thermoe
