// SPDX-License-Identifier: Apache-2.0
#include "fake_gpus.h"

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <numbers>
#include <thread>

namespace thermoe::fake {
namespace {

bool current(Device device) {
  return reinterpret_cast<std::uintptr_t>(device) >> 8U == memory().generation;
}

/// "A", "A+B" or "A~B" at the n-th read.
double play(const std::string& text, unsigned long n) {
  char* rest = nullptr;
  const double base = std::strtod(text.c_str(), &rest);
  if (rest == text.c_str()) refuse("'" + text + "' is neither a number nor a code");
  if (*rest == '\0') return base;
  const double by = std::strtod(rest + 1, nullptr);
  if (*rest == '+') return base + by * static_cast<double>(n);
  if (*rest == '~') {
    const double phase = 2.0 * std::numbers::pi * static_cast<double>(n % 20) / 20.0;
    return base + (by - base) * (1.0 - std::cos(phase)) / 2.0;
  }
  refuse("'" + text + "' is not A, A+B or A~B");
}

}  // namespace

Memory& memory() {
  static Memory the_memory;
  return the_memory;
}

Device handle(int index) {
  const std::lock_guard lock(memory().mutex);
  return reinterpret_cast<Device>((memory().generation << 8U) | static_cast<unsigned>(index + 1));
}
int index_of(Device device) {
  return static_cast<int>(reinterpret_cast<std::uintptr_t>(device) & 0xffU) - 1;
}
Script enter(const std::string& function) {
  {
    const std::lock_guard lock(memory().mutex);
    ++memory().calls[function];
  }
  const auto began = std::chrono::steady_clock::now();
  Script script = Script::now();
  const auto hangs = [&] {
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - began;
    return taken.count() < script.number("hang." + function, 0.0);
  };
  while (hangs()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    script = Script::now();
  }
  return script;
}

Result device_state(const Script& script, const std::string& function, Device device) {
  const std::lock_guard lock(memory().mutex);
  if (memory().initialised == 0) return nvml::kUninitialized;
  if (!current(device)) return nvml::kInvalidArgument;
  const int index = index_of(device);
  if (const auto lost = memory().lost.find(index); lost != memory().lost.end()) {
    return lost->second;
  }
  const auto state = code_named(script.gpu_text(index, "state", "success"));
  if (!state) refuse("gpu state must be a code's name");
  if (*state != nvml::kSuccess) memory().lost[index] = *state;
  if (*state != nvml::kSuccess) return *state;
  return script.code("fail." + function);
}

Result sensor(const Script& script, Device device, const char* key, const char* otherwise,
              double& value) {
  const std::string text = script.gpu_text(index_of(device), key, otherwise);
  if (const auto code = code_named(text)) return *code;
  const std::lock_guard lock(memory().mutex);
  value = play(text, memory().reads[std::to_string(index_of(device)) + key]++);
  return nvml::kSuccess;
}

}  // namespace thermoe::fake
