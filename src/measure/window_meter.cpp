// SPDX-License-Identifier: Apache-2.0
#include "measure/window_meter.h"

#include <algorithm>

namespace thermoe {

void WindowMeter::add(const Snapshot& snapshot) {
  simulated_ = simulated_ || snapshot.simulated;
  // One that appears within a window lacks its start, and is told so.
  const auto fresh = [&] {
    DeviceMeter meter;
    if (is_open_) meter.open(opened_);
    return meter;
  };
  for (const GpuReading& gpu : snapshot.gpus) {
    auto found = gpus_.find(gpu.index);
    if (found == gpus_.end()) found = gpus_.emplace(gpu.index, fresh()).first;
    found->second.add(snapshot.at, gpu);
    sees_power_ =
        sees_power_ || gpu.energy.value || gpu.power_average.value || gpu.power_instant.value;
  }
  for (const HostReading& reading : snapshot.host) {
    auto found = std::ranges::find(host_, reading.name, &decltype(host_)::value_type::first);
    if (found == host_.end()) found = host_.insert(found, {reading.name, fresh()});
    found->second.add(snapshot.at, reading);
    sees_power_ = sees_power_ || reading.energy.value || reading.power.value;
  }
}

void WindowMeter::open(Seconds at) {
  opened_ = at;
  is_open_ = true;
  for (auto& [index, gpu] : gpus_) gpu.open(at);
  for (auto& [name, sensor] : host_) sensor.open(at);
}

WindowMeasurement WindowMeter::close(Seconds at) const {
  WindowMeasurement made{.simulated = simulated_, .duration = at - opened_};
  for (const auto& [index, gpu] : gpus_) made.gpus.push_back(gpu.close(at));
  for (const auto& [name, sensor] : host_) made.host.push_back(sensor.close(at));
  return made;
}

}  // namespace thermoe
