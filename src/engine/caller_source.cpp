// SPDX-License-Identifier: Apache-2.0
#include "engine/caller_source.h"

namespace thermoe {

void CallerSensors::set(const GpuReading& reading, Seconds at) {
  const std::lock_guard lock(mutex_);
  reading_ = reading;
  at_ = at;
}

Snapshot CallerSensors::AsSource::poll(Seconds now) {
  const std::lock_guard lock(sensors_.mutex_);
  Snapshot snapshot{.at = now};
  const bool fresh = sensors_.at_ && now - *sensors_.at_ <= stale_after_;
  GpuReading& gpu = snapshot.gpus.emplace_back(fresh ? sensors_.reading_ : GpuReading{});
  gpu.name = "GPU read by the caller";
  return snapshot;
}

}  // namespace thermoe
