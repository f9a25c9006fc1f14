// SPDX-License-Identifier: Apache-2.0
#include "fake_nvml.h"

#include <cmath>
#include <cstdio>
#include <mutex>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "fake_gpus.h"

// NVML's functions, as the program sees them: the declarations of src/telemetry/nvml_api.h.
namespace thermoe::fake {
namespace {

Result copy(const std::string& text, char* out, unsigned size) {
  std::snprintf(out, size, "%s", text.c_str());
  return nvml::kSuccess;
}

Result system_text(const char* function, const char* key, const char* otherwise, char* out,
                   unsigned size) {
  const Script script = enter(function);
  return copy(script.text(key, otherwise), out, size);
}

Result device_text(const char* function, Device device, const char* key,
                   const std::string& otherwise, char* out, unsigned size) {
  const Script script = enter(function);
  const Result state = device_state(script, function, device);
  if (state != nvml::kSuccess) return state;
  const std::string text = script.gpu_text(index_of(device), key, otherwise);
  if (const auto code = code_named(text)) return *code;
  return copy(text, out, size);
}

constexpr double kMilli = 1e3;  // the script's units are W and J, NVML's mW and mJ

#ifndef THERMOE_FAKE_NVML_OLD
void read_field(const Script& script, Device device, nvml::FieldValue& field) {
  double value = 0.0;
  const auto read = [&](const char* key, const char* otherwise, double unit) {
    field.result = sensor(script, device, key, otherwise, value);
    field.type = nvml::kUnsignedInt;
    field.value.as_unsigned = static_cast<unsigned>(std::llround(value * unit));
  };
  if (field.field == nvml::kFieldPowerAverage) return read("power_average", "300", kMilli);
  if (field.field == nvml::kFieldPowerInstant) return read("power_instant", "305", kMilli);
  if (field.field == nvml::kFieldMemoryTemperature) return read("memory_temperature", "60", 1.0);
  field.result = nvml::kInvalidArgument;
}
#endif

struct FakeProcess {
  unsigned pid = 0;
  std::string name{};
  long long mebibytes = 0;
};

std::vector<FakeProcess> processes(const Script& script, int gpu) {
  std::istringstream list(script.gpu_text(gpu, "processes", ""));
  std::vector<FakeProcess> found;
  for (std::string text; std::getline(list, text, ',');) {
    FakeProcess process;
    std::istringstream words(text);
    if (!(words >> process.pid >> process.name >> process.mebibytes)) {
      refuse("processes = ..." + text + " is no `pid name MiB`");
    }
    found.push_back(std::move(process));
  }
  return found;
}

}  // namespace
}  // namespace thermoe::fake

using namespace thermoe::fake;  // NOLINT: this file is the library
using thermoe::nvml::ClockType;
using thermoe::nvml::PciInfo;
using thermoe::nvml::TemperatureSensor;

extern "C" {

unsigned long thermoe_fake_nvml_calls(const char* name) {
  const std::lock_guard lock(memory().mutex);
  return memory().calls[name];
}

void thermoe_fake_nvml_reset() {
  const std::lock_guard lock(memory().mutex);
  memory().calls.clear();
  memory().reads.clear();
  memory().lost.clear();
  memory().initialised = 0;
  ++memory().generation;
}

Result nvmlInit_v2() {
  const Script script = enter("nvmlInit_v2");
  const Result result = script.code("init");
  const std::lock_guard lock(memory().mutex);
  if (result != thermoe::nvml::kSuccess) return result;
  if (memory().initialised++ == 0) {
    memory().lost.clear();
    ++memory().generation;
  }
  return result;
}

Result nvmlShutdown() {
  enter("nvmlShutdown");
  const std::lock_guard lock(memory().mutex);
  if (memory().initialised == 0) return thermoe::nvml::kUninitialized;
  --memory().initialised;
  return thermoe::nvml::kSuccess;
}

const char* nvmlErrorString(Result result) {
  switch (result) {  // NVML's own words
    case thermoe::nvml::kSuccess:
      return "Success";
    case thermoe::nvml::kUninitialized:
      return "Uninitialized";
    case thermoe::nvml::kInvalidArgument:
      return "Invalid Argument";
    case thermoe::nvml::kNotSupported:
      return "Not Supported";
    case thermoe::nvml::kNoPermission:
      return "Insufficient Permissions";
    case thermoe::nvml::kNotFound:
      return "Not Found";
    case thermoe::nvml::kDriverNotLoaded:
      return "Driver Not Loaded";
    case thermoe::nvml::kTimeout:
      return "Timeout";
    case thermoe::nvml::kFunctionNotFound:
      return "Function Not Found";
    case thermoe::nvml::kGpuIsLost:
      return "GPU is lost";
    case thermoe::nvml::kResetRequired:
      return "GPU requires reset";
    case thermoe::nvml::kLibraryMismatch:
      return "Driver/library version mismatch";
    default:
      return "Unknown Error";
  }
}

Result nvmlSystemGetDriverVersion(char* out, unsigned size) {
  return system_text("nvmlSystemGetDriverVersion", "driver", "580.65.06", out, size);
}

Result nvmlSystemGetNVMLVersion(char* out, unsigned size) {
  return system_text("nvmlSystemGetNVMLVersion", "nvml", "13.580.65.06", out, size);
}

Result nvmlSystemGetCudaDriverVersion_v2(int* out) {
  *out = static_cast<int>(enter("nvmlSystemGetCudaDriverVersion_v2").number("cuda", 13000));
  return thermoe::nvml::kSuccess;
}

Result nvmlDeviceGetCount_v2(unsigned* out) {
  const Script script = enter("nvmlDeviceGetCount_v2");
  const std::lock_guard lock(memory().mutex);
  if (memory().initialised == 0) return thermoe::nvml::kUninitialized;
  *out = static_cast<unsigned>(script.number("gpus", 1));
  return script.code("fail.nvmlDeviceGetCount_v2");
}

Result nvmlDeviceGetHandleByIndex_v2(unsigned index, Device* out) {
  constexpr const char* kFunction = "nvmlDeviceGetHandleByIndex_v2";
  const Script script = enter(kFunction);
  if (index >= script.number("gpus", 1)) return thermoe::nvml::kInvalidArgument;
  const Device device = handle(static_cast<int>(index));
  const Result state = device_state(script, kFunction, device);
  if (state == thermoe::nvml::kSuccess) *out = device;
  return state;
}

Result nvmlDeviceGetName(Device device, char* out, unsigned size) {
  return device_text("nvmlDeviceGetName", device, "name", "Fake H100", out, size);
}

Result nvmlDeviceGetUUID(Device device, char* out, unsigned size) {
  const std::string otherwise = "GPU-fake-" + std::to_string(index_of(device));
  return device_text("nvmlDeviceGetUUID", device, "uuid", otherwise, out, size);
}

Result nvmlDeviceGetPciInfo_v3(Device device, PciInfo* out) {
  const Script script = enter("nvmlDeviceGetPciInfo_v3");
  const Result state = device_state(script, "nvmlDeviceGetPciInfo_v3", device);
  if (state != thermoe::nvml::kSuccess) return state;
  *out = {};
  out->bus = static_cast<unsigned>(0x1b + index_of(device));
  std::snprintf(out->bus_id, sizeof out->bus_id, "00000000:%02X:00.0", out->bus);
  return state;
}

Result nvmlDeviceGetMemoryInfo(Device device, thermoe::nvml::Memory* out) {
  constexpr double kMebibyte = 1024.0 * 1024.0;
  *out = {};
  return read_one("nvmlDeviceGetMemoryInfo", device, "memory_total", "81559", kMebibyte,
                  &out->total);
}

Result nvmlDeviceGetCudaComputeCapability(Device device, int* major, int* minor) {
  int tenths = 0;
  const Result result = read_one("nvmlDeviceGetCudaComputeCapability", device, "compute_capability",
                                 "9.0", 10.0, &tenths);
  *major = tenths / 10;
  *minor = tenths % 10;
  return result;
}

Result nvmlDeviceGetTemperature(Device device, TemperatureSensor which, unsigned* out) {
  if (which != thermoe::nvml::kTemperatureGpu) return thermoe::nvml::kInvalidArgument;
  return read_one("nvmlDeviceGetTemperature", device, "temperature", "50", 1.0, out);
}

Result nvmlDeviceGetPowerUsage(Device device, unsigned* out) {
  return read_one("nvmlDeviceGetPowerUsage", device, "power_usage", "300", kMilli, out);
}

Result nvmlDeviceGetEnforcedPowerLimit(Device device, unsigned* out) {
  return read_one("nvmlDeviceGetEnforcedPowerLimit", device, "power_limit", "700", kMilli, out);
}

Result nvmlDeviceGetPowerManagementLimitConstraints(Device device, unsigned* low, unsigned* high) {
  constexpr const char* kFunction = "nvmlDeviceGetPowerManagementLimitConstraints";
  const Result result = read_one(kFunction, device, "power_limit_min", "200", kMilli, low);
  if (result != thermoe::nvml::kSuccess) return result;
  return read_one(kFunction, device, "power_limit_max", "700", kMilli, high);
}

Result nvmlDeviceGetUtilizationRates(Device device, thermoe::nvml::Utilisation* out) {
  constexpr const char* kFunction = "nvmlDeviceGetUtilizationRates";
  const Script script = enter(kFunction);
  const Result state = device_state(script, kFunction, device);
  if (state != thermoe::nvml::kSuccess) return state;
  double gpu = 0.0;
  double memory_share = 0.0;
  const Result first = sensor(script, device, "gpu_utilisation", "75", gpu);
  if (first != thermoe::nvml::kSuccess) return first;
  const Result second = sensor(script, device, "memory_utilisation", "40", memory_share);
  *out = {static_cast<unsigned>(std::llround(gpu)),
          static_cast<unsigned>(std::llround(memory_share))};
  return second;
}

Result nvmlDeviceGetClockInfo(Device device, ClockType type, unsigned* out) {
  const bool memory_clock = type == thermoe::nvml::kClockMemory;
  return read_one("nvmlDeviceGetClockInfo", device, memory_clock ? "memory_clock" : "sm_clock",
                  memory_clock ? "2619" : "1980", 1.0, out);
}

Result nvmlDeviceGetCurrentClocksThrottleReasons(Device device, unsigned long long* out) {
  return read_one("nvmlDeviceGetCurrentClocksThrottleReasons", device, "throttle_reasons", "0", 1.0,
                  out);
}

#ifndef THERMOE_FAKE_NVML_OLD

Result nvmlDeviceGetCurrentClocksEventReasons(Device device, unsigned long long* out) {
  return read_one("nvmlDeviceGetCurrentClocksEventReasons", device, "throttle_reasons", "0", 1.0,
                  out);
}

Result nvmlDeviceGetTotalEnergyConsumption(Device device, unsigned long long* out) {
  return read_one("nvmlDeviceGetTotalEnergyConsumption", device, "energy", "1000+30", kMilli, out);
}

Result nvmlDeviceGetFieldValues(Device device, int count, thermoe::nvml::FieldValue* fields) {
  const Script script = enter("nvmlDeviceGetFieldValues");
  const Result state = device_state(script, "nvmlDeviceGetFieldValues", device);
  if (state != thermoe::nvml::kSuccess) return state;
  for (int i = 0; i < count; ++i) read_field(script, device, fields[i]);
  return state;
}

Result nvmlDeviceGetComputeRunningProcesses_v3(Device device, unsigned* count,
                                               thermoe::nvml::ProcessInfo* out) {
  constexpr const char* kFunction = "nvmlDeviceGetComputeRunningProcesses_v3";
  const Script script = enter(kFunction);
  const Result state = device_state(script, kFunction, device);
  if (state != thermoe::nvml::kSuccess) return state;
  const int gpu = index_of(device);
  if (const auto code = code_named(script.gpu_text(gpu, "processes", ""))) return *code;
  const std::vector<FakeProcess> found = processes(script, gpu);
  const unsigned room = std::exchange(*count, static_cast<unsigned>(found.size()));
  if (room < found.size()) return thermoe::nvml::kInsufficientSize;
  for (const FakeProcess& process : found) {
    *out++ = {.pid = process.pid,
              .used_memory = process.mebibytes < 0
                                 ? ~0ULL
                                 : static_cast<unsigned long long>(process.mebibytes) << 20U};
  }
  return state;
}

#endif  // THERMOE_FAKE_NVML_OLD

Result nvmlSystemGetProcessName(unsigned pid, char* out, unsigned size) {
  const Script script = enter("nvmlSystemGetProcessName");
  for (int gpu = 0; gpu < script.number("gpus", 1); ++gpu) {
    for (const FakeProcess& process : processes(script, gpu)) {
      if (process.pid == pid) return copy(process.name, out, size);
    }
  }
  return thermoe::nvml::kNotFound;
}

}  // extern "C"
