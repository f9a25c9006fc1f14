// SPDX-License-Identifier: Apache-2.0
#include "machine/simulated/simulated_source.h"

#include <utility>

namespace thermoe {

Snapshot SimulatedSource::poll(Seconds now) {
  return {.at = now, .simulated = true, .gpus = {gpu_.readings(now)}};
}

std::unique_ptr<Source> open_simulated_sensors(const SimulatedGpu& gpu,
                                               const std::vector<Disturbance>& disturbances) {
  auto source = std::make_unique<SimulatedSource>(gpu);
  std::vector<SensorFault> faults = sensor_faults(disturbances);
  if (faults.empty()) return source;
  return std::make_unique<FaultySource>(std::move(source), std::move(faults));
}

}  // namespace thermoe
