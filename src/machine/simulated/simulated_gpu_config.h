// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/units.h"
#include "machine/simulated/thermal_response.h"

namespace thermoe {

/// Parameters of the simulated GPU. `read_plant` fills it from data/h100/plant.json, where every
/// number has its source; docs/plant.md explains the model.
struct SimulatedGpuConfig {
  std::string name = "simulated GPU";
  Watts idle_active{130.0};  ///< clocks up, no work
  Watts power_limit{700.0};
  Celsius thermal_limit{87.0};  ///< clocks fall above this die temperature
  Megahertz sm_clock{1980.0};   ///< unthrottled
  ThermalParameters thermal{.ambient = Celsius(43.0),
                            .poles = {{KelvinPerWatt(0.03), Seconds(5.0)}}};
  ThermalParameters memory_thermal{.ambient = Celsius(43.0),
                                   .poles = {{KelvinPerWatt(0.06), Seconds(1.0)}}};
  std::optional<Celsius> start{};  ///< of the die; absent: settled at idle

  // Sensors.
  Seconds sensor_period{0.1};       ///< between two samples of power, energy and temperature
  Seconds sensor_delay{0.1};        ///< from the end of a period to its publication
  Seconds sensor_window{0.025};     ///< end of each period in which instant power is averaged
  int average_samples = 10;         ///< whole periods in the power average (1 s)
  Seconds utilisation_period{0.2};  ///< between two samples of utilisation
  Watts power_noise{0.0};           ///< standard deviation of one sample
  Watts power_step{0.001};          ///< quantisation; 0 = none
  Joules energy_step{0.001};
  Celsius temperature_step{1.0};
  std::uint64_t seed = 1;  ///< of the sensor noise
};

}  // namespace thermoe
