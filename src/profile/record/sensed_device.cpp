// SPDX-License-Identifier: Apache-2.0
#include "profile/record/sensed_device.h"

namespace thermoe {
namespace {

/// A limit of 0 W, as some boards say that have none, is none.
std::optional<Watts> real_limit(const std::optional<Watts>& said) {
  return said && *said >= kLeastPowerLimit ? said : std::nullopt;
}

SensedDevice sensed_gpu(const GpuReading& gpu) {
  return {.energy = gpu.energy.value,
          .energy_gaps = gpu.energy_gaps,
          .power = gpu.power_instant.value ? gpu.power_instant.value : gpu.power_average.value,
          .power_limit = real_limit(gpu.power_limit.value),
          .state = {.temperature = gpu.temperature.value,
                    .sm_clock = gpu.sm_clock.value,
                    .memory_clock = gpu.memory_clock.value}};
}

template <class Q>
void add(std::optional<Q>& sum, const std::optional<Q>& value) {
  if (value) sum = sum.value_or(Q(0.0)) + *value;
}

}  // namespace

SensedDevice sensed_device(const Snapshot& snapshot) {
  if (!snapshot.gpus.empty()) return sensed_gpu(snapshot.gpus.front());
  SensedDevice all;
  bool complete = true;
  for (const HostReading& domain : snapshot.host) {
    // Its parts (core, dram) are in the package already, or beside it on some machines only.
    if (!domain.name.starts_with("RAPL package")) continue;
    complete = complete && domain.energy.value.has_value();
    add(all.energy, domain.energy.value);
    add(all.power, domain.power.value);
    all.energy_gaps += domain.energy_gaps;
  }
  if (!complete) all.energy.reset();
  return all;
}

}  // namespace thermoe
