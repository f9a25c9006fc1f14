// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "core/gpu_disturbance.h"
#include "core/units.h"
#include "machine/faulty_source.h"

namespace thermoe {

/// Something that happens to the machine during [from, to).
struct Disturbance {
  enum class Kind {
    kBackground,     ///< another tenant: power and memory bandwidth
    kAmbient,        ///< warmer air
    kSensorDropout,  ///< sensors say nothing
    kSensorFreeze,   ///< sensors repeat their last values
    kSensorNan,      ///< sensors say NaN
  };
  Kind kind = Kind::kBackground;
  Seconds from{};
  Seconds to{};
  Watts power{};  ///< kBackground
  /// kBackground, in the place of `power`: its share of what lies between idle and power limit,
  /// which whoever knows the machine turns into `power`.
  std::optional<double> power_fraction{};
  double bandwidth_share = 0.0;  ///< kBackground, [0, 1)
  Celsius ambient{};             ///< kAmbient
};

/// All that acts on the GPU at a time; overlapping disturbances add up.
GpuDisturbance disturbance_at(const std::vector<Disturbance>& disturbances, Seconds now);
/// Whether a sensor fault is on.
bool sensors_faulty_at(const std::vector<Disturbance>& disturbances, Seconds now);
/// The sensor faults, for a FaultySource.
std::vector<SensorFault> sensor_faults(const std::vector<Disturbance>& disturbances);
/// The disturbance of the hardware (not of its sensors) that starts first.
std::optional<Disturbance> first_disturbance(const std::vector<Disturbance>& disturbances);

}  // namespace thermoe
