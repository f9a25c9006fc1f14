// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/snapshot.h"
#include "measure/measurement.h"
#include "measure/sample_track.h"

namespace thermoe {

/// Joules, watts and degrees of one device in a window, from its readings one after another.
///
/// Energy is the difference of the device's counter between the readings nearest to the window's
/// edges; power integrated by trapezoids where it has no counter (the driver's average if there is
/// one, as instant power sees a part of the time only). A counter that fell, jumped, stood still or
/// was not read near an edge gives none, with the reason.
class DeviceMeter {
 public:
  void add(Seconds at, const GpuReading& reading);
  void add(Seconds at, const HostReading& reading);
  void open(Seconds at);
  /// The window ended at `at`; readings near it have been added.
  DeviceMeasurement close(Seconds at) const;

 private:
  void add_energy(Seconds at, Joules energy, std::uint64_t gaps);
  EnergyFigure counted(Seconds end) const;
  EnergyFigure integrated(Seconds end) const;

  std::string name_{};
  std::string uuid_{};
  unsigned index_ = 0;
  Seconds opened_{};
  SampleTrack energy_{};
  SampleTrack power_{};  // for the integral
  SampleTrack peak_{};   // of the fastest power reading
  SampleTrack temperature_{};
  bool has_counter_ = false;
  std::uint64_t gaps_ = 0;  // of the counter, as last told
  std::string broken_{};    // why the counter's difference is no energy
};

}  // namespace thermoe
