// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mutex>

#include "core/gpu_disturbance.h"
#include "core/snapshot.h"
#include "core/tick_report.h"
#include "core/units.h"
#include "machine/simulated/simulated_gpu_config.h"
#include "machine/simulated/simulated_sensors.h"
#include "machine/simulated/thermal_response.h"

namespace thermoe {

/// What the serving program asks of the GPU during a tick: steps of one kind, one each `period`.
struct GpuWork {
  Seconds step_time{};   ///< undisturbed duration of a step; 0 = no work
  Joules step_energy{};  ///< above active idle, one step, undisturbed
  Seconds period{};      ///< from start to start; 0 = saturated (the next step at once)
};

/// A GPU on a virtual time line of its own that starts at 0, settled at active idle. Between ticks
/// it carries temperature, the step under way and the phase within the period. Deterministic for a
/// seed. Everything printed from it says "simulated". `advance` and `readings` may be called from
/// two threads.
class SimulatedGpu {
 public:
  /// Requires power_limit > idle_active and what ThermalResponse and SimulatedSensors require.
  explicit SimulatedGpu(const SimulatedGpuConfig& config);

  /// Lets `dt` pass. Requires dt > 0, finite values >= 0, bandwidth_share < 1 and a step time of 0
  /// (no work) or at least 1 us.
  TickReport advance(Seconds dt, const GpuWork& work, const GpuDisturbance& disturbance = {});
  /// The same until one step, the one under way or the next, is done, and `most` at most: steps of
  /// different kinds follow one another. The work must have a step time, and stay the same until
  /// the step is done.
  TickReport advance_step(Seconds most, const GpuWork& work,
                          const GpuDisturbance& disturbance = {});
  /// Whether a step has begun and is not done.
  bool step_under_way() const;

  /// What the sensors show at `now` (no later than the end of the last tick, to be sure of it).
  GpuReading readings(Seconds now) const;
  /// Time simulated so far.
  Seconds now() const;
  const SimulatedGpuConfig& config() const { return config_; }

 private:
  struct Rates;   // power and speed at a moment
  struct Totals;  // what a tick adds up

  TickReport run(Seconds most, bool one_step, const GpuWork& work,
                 const GpuDisturbance& disturbance);
  Rates rates(const GpuWork& work, const GpuDisturbance& disturbance) const;
  void begin_step_if_due(const GpuWork& work);
  Seconds until_event(const GpuWork& work, const Rates& rates) const;
  void pass(Seconds until, const Rates& rates, const GpuDisturbance& disturbance, Totals& totals);
  void govern_temperature(Seconds dt, Celsius ambient_offset);

  SimulatedGpuConfig config_;
  mutable std::mutex mutex_;  // everything below
  Seconds now_{};
  double progress_ = 1.0;       // of the step under way, [0, 1]; 1 = done
  Seconds since_start_;         // since the last step began
  double thermal_clock_ = 1.0;  // share of the clock that the thermal governor allows
  ThermalResponse thermal_;
  ThermalResponse memory_thermal_;
  SimulatedSensors sensors_;
};

}  // namespace thermoe
