// SPDX-License-Identifier: Apache-2.0
#include "telemetry/hwmon_sensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <system_error>
#include <utility>

#include "telemetry/host_file.h"

namespace thermoe {
namespace {

std::vector<std::string> entries(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    names.push_back(entry.path().filename().string());
  }
  // hwmon2 before hwmon10, temp2 before temp10
  std::ranges::sort(names, {},
                    [](const std::string& name) { return std::pair(name.size(), name); });
  return names;
}

/// The device that a chip belongs to: "nvme0", "coretemp.0"; where the chip shows none, hwmonN.
std::string device_of(const std::string& folder) {
  std::error_code error;
  const auto target = std::filesystem::read_symlink(folder + "/device", error);
  return (error ? std::filesystem::path(folder) : target).filename().string();
}

/// "temp1" of "temp1_input"; empty for any other kind of file.
std::string stem(const std::string& file, const char* kind, const char* ending) {
  if (!file.starts_with(kind) || !file.ends_with(ending)) return {};
  return file.substr(0, file.find('_'));
}

}  // namespace

void HwmonSensors::discover() {
  for (const std::string& chip : entries(hwmon_)) discover_chip(hwmon_ + "/" + chip);
}

void HwmonSensors::discover_chip(const std::string& folder) {
  const std::string device = device_of(folder);
  const std::string chip = read_host_file(folder + "/name").text.value_or(device);
  std::set<std::string> powers;  // that have an instant value
  for (const std::string& file : entries(folder)) {
    const std::string temperature = stem(file, "temp", "_input");
    std::string power = stem(file, "power", "_input");
    if (!power.empty()) powers.insert(power);
    if (power.empty()) power = stem(file, "power", "_average");
    if (file.ends_with("_average") && powers.contains(power)) continue;
    const std::string& sensor = temperature.empty() ? power : temperature;
    if (sensor.empty()) continue;
    const std::string label =
        read_host_file(fmt::format("{}/{}_label", folder, sensor)).text.value_or("");
    add({.key = fmt::format("{} {} {}", chip, device, sensor),
         .path = fmt::format("{}/{}", folder, file),
         .name = fmt::format("{} {}", chip, label.empty() ? sensor : label),
         .is_power = temperature.empty()},
        device);
  }
}

void HwmonSensors::add(Sensor sensor, const std::string& device) {
  const auto known = std::ranges::find(sensors_, sensor.key, &Sensor::key);
  if (known != sensors_.end()) {
    known->path = sensor.path;
    return;
  }
  // Two chips of a kind (two NVMe disks): the second is told by its device, then by its key.
  const auto is_taken = [&] {
    return std::ranges::find(sensors_, sensor.name, &Sensor::name) != sensors_.end();
  };
  if (is_taken()) sensor.name += fmt::format(" ({})", device);
  if (is_taken()) sensor.name = sensor.key;
  sensors_.push_back(std::move(sensor));
}

void HwmonSensors::read(std::vector<HostReading>& readings,
                        std::vector<HostProblem>& problems) const {
  for (const Sensor& sensor : sensors_) {
    HostReading reading{.name = sensor.name};
    const HostFileNumber file = read_host_number(sensor.path);
    if (file.number && sensor.is_power) {
      reading.power.value = Watts(static_cast<double>(*file.number) * 1e-6);
    } else if (file.number) {
      reading.temperature.value = Celsius(static_cast<double>(*file.number) * 1e-3);
    } else if (!file.problem.empty()) {
      problems.push_back(
          {.sensor = sensor.name,
           .path = sensor.path,
           .reason = file.problem,
           .remedy = file.permission ? "run as root, or sudo chmod a+r the file" : "",
           .permission = file.permission});
    }
    readings.push_back(std::move(reading));
  }
}

}  // namespace thermoe
