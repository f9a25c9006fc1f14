// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "fake_script.h"

namespace thermoe::fake {

using nvml::Device;
using nvml::Result;

/// What the fake remembers between calls.
struct Memory {
  std::mutex mutex;
  std::map<std::string, unsigned long> calls;
  std::map<std::string, unsigned long> reads;  // of a sensor, for + and ~
  std::map<int, Result> lost;                  // since the last init
  int initialised = 0;
  std::uintptr_t generation = 1;  // of handles: one an init
};

Memory& memory();

/// A handle: the generation and the index, never null.
Device handle(int index);
int index_of(Device device);

/// Counts a call and lets it hang as the script says.
Script enter(const std::string& function);
/// The answer of a function of a device before it looks at the device's sensors.
Result device_state(const Script& script, const std::string& function, Device device);
/// Reads one sensor of a device: its code, and its value in the script's unit.
Result sensor(const Script& script, Device device, const char* key, const char* otherwise,
              double& value);

/// A whole function that reads one unsigned value, `unit` raw counts a unit of the script.
template <class T>
Result read_one(const char* function, Device device, const char* key, const char* otherwise,
                double unit, T* out) {
  const Script script = enter(function);
  const Result state = device_state(script, function, device);
  if (state != nvml::kSuccess) return state;
  double value = 0.0;
  const Result result = sensor(script, device, key, otherwise, value);
  // Odd values pass as they are: a script may say -1 for NVML's "not available".
  if (result == nvml::kSuccess) *out = static_cast<T>(std::llround(value * unit));
  return result;
}

}  // namespace thermoe::fake
