// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/snapshot.h"

namespace thermoe {

/// Calls f(a reading of `a`, the same reading of `b`) for every sensor: the one list of them
/// outside GpuReading itself.
template <class A, class B, class F>
void for_each_reading(A& a, B& b, F&& f) {
  f(a.temperature, b.temperature);
  f(a.memory_temperature, b.memory_temperature);
  f(a.power_average, b.power_average);
  f(a.power_instant, b.power_instant);
  f(a.power_limit, b.power_limit);
  f(a.energy, b.energy);
  f(a.gpu_utilisation, b.gpu_utilisation);
  f(a.memory_utilisation, b.memory_utilisation);
  f(a.sm_clock, b.sm_clock);
  f(a.memory_clock, b.memory_clock);
  f(a.throttle_reasons, b.throttle_reasons);
}

/// Whether any sensor answered, be it with what cannot be: none does for a GPU that is lost.
inline bool says_something(const GpuReading& gpu) {
  bool something = false;
  for_each_reading(gpu, gpu, [&](const auto& reading, const auto&) {
    something = something || reading.value || reading.rejected;
  });
  return something;
}

/// `for_each_reading` for a sensor of the host.
template <class A, class B, class F>
void for_each_host_reading(A& a, B& b, F&& f) {
  f(a.power, b.power);
  f(a.energy, b.energy);
  f(a.temperature, b.temperature);
}

}  // namespace thermoe
