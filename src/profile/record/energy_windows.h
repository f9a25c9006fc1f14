// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <functional>
#include <span>

#include "core/clock.h"
#include "profile/ops/profile_plan.h"
#include "profile/record/op_record.h"
#include "telemetry/source.h"

namespace thermoe {

/// Executes a point for some hundredths of a second without a pause, calls `meanwhile` once while
/// it does, and says how many executions it were.
using SustainedWork = std::function<std::int64_t(const std::function<void()>& meanwhile)>;

/// What energies are measured with. All must outlive the measurement.
struct EnergyBench {
  Source& sensors;  ///< of one device; reads its energy counter in every poll
  const Clock& clock;
  std::function<void(Seconds)> rest{};                     ///< lets time pass without work
  std::function<SustainedWork(const OpPoint&)> prepare{};  ///< everything that is no execution
  const std::atomic<bool>& stop;
};

/// Why this device's energy cannot be measured, with the remedy; nothing where it can. Polls for up
/// to two seconds, as some counters say nothing at first.
std::optional<std::string> energy_problem(const EnergyBench& bench);

/// Executes each anchor for one window, with an idle window before each and behind the last; its
/// idle power is the mean of the two beside it, so that what the device's warmth adds to idle is in
/// neither. `done` hears of each in turn, one window late. Ends early when stopped. Throws
/// TelemetryError where the counter says too little or began anew in a window.
void measure_energies(std::span<const ProfilePoint> anchors, const ProfileTiming& timing,
                      const EnergyBench& bench,
                      const std::function<void(const EnergyRecord&)>& done);

/// Rests, works at this point, and rests again, with a reading each tenth of a second; nothing if
/// it was stopped. Throws TelemetryError for a device without power or temperature.
std::optional<ThermalRecord> measure_step_response(const OpPoint& point, Seconds length,
                                                   const EnergyBench& bench);

}  // namespace thermoe
