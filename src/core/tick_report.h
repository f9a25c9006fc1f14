// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/cost_curve.h"
#include "core/serving.h"
#include "core/units.h"

namespace thermoe {

/// What the hardware truly did during a tick, with no sensor of the controller's in between. A
/// simulated machine knows all of it, a real one what its counters say.
struct TrueHardware {
  std::optional<Joules> energy{};        ///< whole GPU: idle, steps and tenant
  std::optional<Watts> mean_power{};     ///< energy / tick
  std::optional<Celsius> temperature{};  ///< at the end of the tick
  std::optional<Celsius> memory_temperature{};
  std::optional<double>
      utilisation{};  ///< share of the tick in which a kernel ran (also a tenant's)
  std::optional<double> memory_utilisation{};  ///< share in which memory moved data
  std::optional<Megahertz> sm_clock{};         ///< mean
  std::optional<bool> throttled{};             ///< at any time in the tick
};

/// What a machine says of the tick that it has run.
struct TickReport {
  Seconds step_time{};    ///< of the tick's steps, as felt: stretched by lost bandwidth, throttling
  Seconds step_period{};  ///< from start to start, max(step_time, the period that was asked for)
  double steps = 0.0;     ///< work done, in steps (fractional: a step may span two ticks)
  Basis basis = Basis::kMeasured;  ///< how firmly the steps' costs are known; a real machine's are
  Seconds length{};                ///< of the tick, as it truly was
  std::uint64_t late = 0;          ///< steps that began more than a tenth of the period late
  std::uint64_t repeated = 0;      ///< steps that ran the picks of the one before
  std::uint64_t near_ties = 0;     ///< picks in which two devices differed as they may
  TrueHardware truth{};
  std::optional<ServingTick> serving{};  ///< where requests arrive
  std::string problem{};                 ///< why energy is absent; empty where it is there
};

}  // namespace thermoe
