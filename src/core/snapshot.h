// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/units.h"

namespace thermoe {

/// One sensor's value and its history in time. Absent is `nullopt`, never zero or NaN.
template <class T>
struct Reading {
  std::optional<T> value{};
  Seconds read_at{};      ///< when it was last read (clock of the monitor)
  Seconds changed_at{};   ///< when it last differed from the read before: how a frozen sensor shows
  bool rejected = false;  ///< absent because the sensor said what cannot be: NaN, 4294967 W

  Seconds age(Seconds now) const { return now - read_at; }
  Seconds unchanged_for(Seconds now) const { return now - changed_at; }
};

/// What one GPU said. Every field is optional: sensors vary by chip, driver and permission.
struct GpuReading {
  std::string name{};
  std::string uuid{};  ///< tells GPUs of one name apart; empty where the source knows none
  /// NVML's, as it was when the GPU was first seen: its own in a snapshot, and the same from poll
  /// to poll, whichever others come and go.
  unsigned index = 0;
  Reading<Celsius> temperature{};
  Reading<Celsius> memory_temperature{};
  Reading<Watts> power_average{};  ///< driver's 1 s average
  Reading<Watts> power_instant{};  ///< NVML field 186: last 25 ms window of each 100 ms on H100
  Reading<Watts> power_limit{};    ///< enforced by the driver
  Reading<Joules> energy{};        ///< counter since driver load; see `energy_gaps`
  /// How often the counter was seen to begin anew, or may have while the GPU was lost. The
  /// difference of two readings of `energy` is what was used only if this is the same in both.
  std::uint64_t energy_gaps = 0;
  Reading<double> gpu_utilisation{};     ///< share of time a kernel ran, [0, 1]
  Reading<double> memory_utilisation{};  ///< share of time memory moved data, [0, 1]
  Reading<Megahertz> sm_clock{};
  Reading<Megahertz> memory_clock{};
  Reading<std::uint64_t> throttle_reasons{};  ///< NVML clocks event reasons, a bit mask
};

/// What one sensor domain of the host said: a RAPL domain (power, energy) or a hwmon chip's sensor.
struct HostReading {
  std::string name{};  ///< unique within a snapshot: "RAPL package-0", "k10temp Tctl"
  Reading<Watts> power{};
  /// Since the source was opened, as far as it was seen: wrap-around of the counter is undone.
  Reading<Joules> energy{};
  /// How often joules were missed, as the counter began anew or went unread. The difference of two
  /// readings of `energy` is what was used only if this is the same in both.
  std::uint64_t energy_gaps = 0;
  Reading<Celsius> temperature{};
};

/// One poll of a telemetry source.
struct Snapshot {
  Seconds at{};          ///< when the poll ended (clock of the monitor)
  WallTime wall_time{};  ///< time of day then, as the machine had it: it may have stepped since
  bool simulated = false;
  std::vector<GpuReading> gpus{};
  std::vector<HostReading> host{};
  /// What could not be read although it is there (a lost GPU, a file without permission, a value
  /// that cannot be), a sentence each, with the remedy. A sensor that a machine simply lacks is no
  /// problem.
  std::vector<std::string> problems{};
};

}  // namespace thermoe
