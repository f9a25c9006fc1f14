// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/units.h"
#include "profile/op_point.h"
#include "profile/record/op_timer.h"

namespace thermoe {

/// What a profile was taken on: all that a folder holds is of one such.
struct ProfileFacts {
  std::string backend{};  ///< "cpu" or "cuda"
  std::string device{};
  std::string driver{};  ///< empty where there is none
  std::uint64_t seed = 1;
  bool operator==(const ProfileFacts&) const = default;
};

/// How a device stood while it was measured; absent where no sensor says.
struct DeviceState {
  std::optional<Celsius> temperature{};
  std::optional<Megahertz> sm_clock{};
  std::optional<Megahertz> memory_clock{};
  bool operator==(const DeviceState&) const = default;
};

/// A point that was timed.
struct TimeRecord {
  std::string part{};
  OpPoint point{};
  OpTiming timing{};
  DeviceState state{};
};

/// A point that was executed without a pause in one window, between two without work.
struct EnergyRecord {
  OpPoint point{};
  int turn = 0;            ///< its place in the order by seed
  Seconds window{};        ///< that counts, behind its settling
  double executions = 0;   ///< in it, at the mean rate
  Joules gross{};          ///< of the whole board, or CPU package, in it
  Watts idle{};            ///< mean of the idle windows before and after
  double idle_change = 0;  ///< half their difference over the power above idle: how firm `idle` is
  DeviceState state{};

  Watts power() const { return gross / window; }
  Joules per_execution() const { return gross / executions; }
  /// Negative where idle was no idle.
  Joules above_idle() const { return (gross - idle * window) / executions; }
};

/// A reading during a step response.
struct ThermalSample {
  Seconds at{};
  Watts power{};
  Celsius temperature{};
};

/// Work after rest, and rest after it.
struct ThermalRecord {
  OpPoint point{};  ///< that worked
  std::vector<ThermalSample> samples{};
};

/// A reading of the power sensor, at work or at rest.
struct StrainSample {
  Seconds at{};
  Watts power{};
  std::optional<Megahertz> sm_clock{};
};

/// Executions that followed each other without a pause.
struct WorkBatch {
  Seconds from{};
  Seconds to{};
  std::int64_t executions = 0;
};

/// A limit of less is none.
inline constexpr Watts kLeastPowerLimit{1.0};

/// Heavy work in bursts, and then without a pause: see measure_strain.
struct StrainRecord {
  OpPoint point{};
  Watts limit{};  ///< of the board's power, as its driver enforces it
  std::vector<StrainSample> samples{};
  std::vector<WorkBatch> batches{};
};

/// All that a folder holds.
struct ProfileRecords {
  ProfileFacts facts{};
  std::vector<TimeRecord> times{};
  std::vector<TimeRecord> repeats{};  ///< of points in `times`, timed a second time
  std::vector<EnergyRecord> energies{};
  std::optional<ThermalRecord> thermal{};
  std::optional<StrainRecord> strain{};
};

}  // namespace thermoe
