// SPDX-License-Identifier: Apache-2.0
#include "telemetry/nvml_api.h"

#include <dlfcn.h>

#include <initializer_list>

namespace thermoe::nvml {
namespace {

/// Looks symbols up, newest name first.
class Finder {
 public:
  Finder(void* library, std::vector<std::string>& missing) : library_(library), missing_(missing) {}

  template <class F>
  void find(F*& function, std::initializer_list<const char*> names) {
    for (const char* name : names) {
      function = reinterpret_cast<F*>(dlsym(library_, name));
      if (function != nullptr) return;
    }
    missing_.emplace_back(*names.begin());
  }

 private:
  void* library_;
  std::vector<std::string>& missing_;
};

}  // namespace

Functions find_functions(void* library, std::vector<std::string>& missing) {
  Functions f;
  Finder finder(library, missing);
  finder.find(f.init, {"nvmlInit_v2"});
  finder.find(f.shutdown, {"nvmlShutdown"});
  finder.find(f.error_string, {"nvmlErrorString"});
  finder.find(f.driver_version, {"nvmlSystemGetDriverVersion"});
  finder.find(f.nvml_version, {"nvmlSystemGetNVMLVersion"});
  finder.find(f.cuda_driver_version, {"nvmlSystemGetCudaDriverVersion_v2"});
  finder.find(f.device_count, {"nvmlDeviceGetCount_v2"});
  finder.find(f.device_by_index, {"nvmlDeviceGetHandleByIndex_v2"});
  finder.find(f.name, {"nvmlDeviceGetName"});
  finder.find(f.uuid, {"nvmlDeviceGetUUID"});
  finder.find(f.pci_info, {"nvmlDeviceGetPciInfo_v3"});
  finder.find(f.memory_info, {"nvmlDeviceGetMemoryInfo"});
  finder.find(f.compute_capability, {"nvmlDeviceGetCudaComputeCapability"});
  finder.find(f.temperature, {"nvmlDeviceGetTemperature"});
  finder.find(f.field_values, {"nvmlDeviceGetFieldValues"});
  finder.find(f.power_usage, {"nvmlDeviceGetPowerUsage"});
  finder.find(f.power_limit, {"nvmlDeviceGetEnforcedPowerLimit"});
  finder.find(f.power_limit_range, {"nvmlDeviceGetPowerManagementLimitConstraints"});
  finder.find(f.energy, {"nvmlDeviceGetTotalEnergyConsumption"});
  finder.find(f.utilisation, {"nvmlDeviceGetUtilizationRates"});
  finder.find(f.clock, {"nvmlDeviceGetClockInfo"});
  finder.find(f.clock_event_reasons, {"nvmlDeviceGetCurrentClocksEventReasons",
                                      "nvmlDeviceGetCurrentClocksThrottleReasons"});
  finder.find(f.compute_processes, {"nvmlDeviceGetComputeRunningProcesses_v3"});
  finder.find(f.process_name, {"nvmlSystemGetProcessName"});
  return f;
}

bool means_lost(Result result) {
  return result == kUninitialized || result == kDriverNotLoaded || result == kGpuIsLost ||
         result == kResetRequired || result == kLibraryMismatch;
}

bool means_refused(Result result) {
  // A field that a driver does not know yet is an invalid argument to it.
  return result == kNotSupported || result == kNoPermission || result == kFunctionNotFound ||
         result == kInvalidArgument || result == kDeprecated;
}

}  // namespace thermoe::nvml
