// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "core/snapshot.h"
#include "telemetry/host_source.h"

namespace thermoe {

/// The temperatures and powers of the chips under hwmon (Linux: Documentation/hwmon/
/// sysfs-interface): temp*_input in m°C, power*_input (or, without it, power*_average) in µW. One
/// reading a sensor, named by chip and label: "k10temp Tctl".
class HwmonSensors {
 public:
  explicit HwmonSensors(std::string hwmon) : hwmon_(std::move(hwmon)) {}

  /// Looks for sensors not known yet, and for known ones whose hwmonN has another number now.
  void discover();
  /// Appends a reading a sensor.
  void read(std::vector<HostReading>& readings, std::vector<HostProblem>& problems) const;

 private:
  struct Sensor {
    std::string key{};   // tells it again after it vanished: chip, device, file
    std::string path{};  // of its file
    std::string name{};
    bool is_power = false;  // else a temperature
  };

  void discover_chip(const std::string& folder);
  void add(Sensor sensor, const std::string& device);

  std::string hwmon_;
  std::vector<Sensor> sensors_;
};

}  // namespace thermoe
