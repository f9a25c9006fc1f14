// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

/// The part of NVIDIA's management library that thermoe calls, declared here so that building needs
/// no NVIDIA header and running no NVIDIA library. Layouts and values as in the public nvml.h of
/// CUDA 13; all of it has been stable since R470 or longer. tests/telemetry/nvml_api_test.cpp
/// compares it with that header wherever one is installed.
namespace thermoe::nvml {

/// nvmlReturn_t: those that are told apart here; a driver may return others.
enum Result : int {
  kSuccess = 0,
  kUninitialized = 1,
  kInvalidArgument = 2,
  kNotSupported = 3,
  kNoPermission = 4,
  kNotFound = 6,
  kInsufficientSize = 7,
  kDriverNotLoaded = 9,
  kTimeout = 10,
  kFunctionNotFound = 13,
  kGpuIsLost = 15,
  kResetRequired = 16,
  kLibraryMismatch = 18,  ///< NVML_ERROR_LIB_RM_VERSION_MISMATCH
  kDeprecated = 26,
  kGpuNotFound = 28,
  kUnknown = 999,
};

/// nvmlDevice_t: a handle, valid from one nvmlInit to its nvmlShutdown.
using Device = struct DeviceTag*;

enum TemperatureSensor : int { kTemperatureGpu = 0 };
enum ClockType : int { kClockSm = 1, kClockMemory = 2 };

/// nvmlValueType_t, nvmlValue_t and nvmlFieldValue_t.
enum ValueType : int {
  kDouble = 0,
  kUnsignedInt = 1,
  kUnsignedLong = 2,
  kUnsignedLongLong = 3,
  kSignedLongLong = 4,
  kSignedInt = 5,
  kUnsignedShort = 6,
};
union Value {
  double as_double;
  int as_int;
  unsigned as_unsigned;
  unsigned long as_unsigned_long;
  unsigned long long as_unsigned_long_long;
  long long as_long_long;
  unsigned short as_unsigned_short;
};
struct FieldValue {
  unsigned field = 0;
  unsigned scope = 0;
  long long timestamp_us = 0;
  long long latency_us = 0;
  ValueType type = kDouble;
  Result result = kUnknown;
  Value value{};
};
inline constexpr unsigned kFieldMemoryTemperature = 82;  ///< degrees Celsius
inline constexpr unsigned kFieldPowerAverage = 185;      ///< mW, mean of 1 s
inline constexpr unsigned kFieldPowerInstant = 186;      ///< mW

/// nvmlUtilization_t: percent.
struct Utilisation {
  unsigned gpu = 0;
  unsigned memory = 0;
};

/// nvmlMemory_t: bytes.
struct Memory {
  unsigned long long total = 0;
  unsigned long long free = 0;
  unsigned long long used = 0;
};

/// nvmlPciInfo_t (the version of nvmlDeviceGetPciInfo_v3).
struct PciInfo {
  char bus_id_legacy[16] = {};
  unsigned domain = 0;
  unsigned bus = 0;
  unsigned device = 0;
  unsigned device_id = 0;
  unsigned subsystem_id = 0;
  char bus_id[32] = {};
};

/// nvmlProcessInfo_t (the version of nvmlDeviceGetComputeRunningProcesses_v3).
struct ProcessInfo {
  unsigned pid = 0;
  unsigned long long used_memory = 0;  ///< bytes; all ones where NVML does not know
  unsigned gpu_instance = 0;
  unsigned compute_instance = 0;
};

inline constexpr unsigned kStringSize = 96;  ///< enough for every string that is asked for

/// The functions by name of their symbol, less "nvml"; null where the library lacks one.
struct Functions {
  Result (*init)() = nullptr;                                  // Init_v2
  Result (*shutdown)() = nullptr;                              // Shutdown
  const char* (*error_string)(Result) = nullptr;               // ErrorString
  Result (*driver_version)(char*, unsigned) = nullptr;         // SystemGetDriverVersion
  Result (*nvml_version)(char*, unsigned) = nullptr;           // SystemGetNVMLVersion
  Result (*cuda_driver_version)(int*) = nullptr;               // SystemGetCudaDriverVersion_v2
  Result (*device_count)(unsigned*) = nullptr;                 // DeviceGetCount_v2
  Result (*device_by_index)(unsigned, Device*) = nullptr;      // DeviceGetHandleByIndex_v2
  Result (*name)(Device, char*, unsigned) = nullptr;           // DeviceGetName
  Result (*uuid)(Device, char*, unsigned) = nullptr;           // DeviceGetUUID
  Result (*pci_info)(Device, PciInfo*) = nullptr;              // DeviceGetPciInfo_v3
  Result (*memory_info)(Device, Memory*) = nullptr;            // DeviceGetMemoryInfo
  Result (*compute_capability)(Device, int*, int*) = nullptr;  // DeviceGetCudaComputeCapability
  Result (*temperature)(Device, TemperatureSensor, unsigned*) = nullptr;  // DeviceGetTemperature
  Result (*field_values)(Device, int, FieldValue*) = nullptr;             // DeviceGetFieldValues
  Result (*power_usage)(Device, unsigned*) = nullptr;                     // DeviceGetPowerUsage, mW
  Result (*power_limit)(Device, unsigned*) = nullptr;  // DeviceGetEnforcedPowerLimit, mW
  Result (*power_limit_range)(Device, unsigned*,
                              unsigned*) = nullptr;  // DeviceGetPowerManagementLimitConstraints, mW
  Result (*energy)(Device, unsigned long long*) = nullptr;  // DeviceGetTotalEnergyConsumption, mJ
  Result (*utilisation)(Device, Utilisation*) = nullptr;    // DeviceGetUtilizationRates
  Result (*clock)(Device, ClockType, unsigned*) = nullptr;  // DeviceGetClockInfo, MHz
  Result (*clock_event_reasons)(Device, unsigned long long*) =
      nullptr;  // DeviceGetCurrentClocksEventReasons, before R535 ...ClocksThrottleReasons
  Result (*compute_processes)(Device, unsigned*,
                              ProcessInfo*) = nullptr;  // DeviceGetComputeRunningProcesses_v3
  Result (*process_name)(unsigned, char*, unsigned) = nullptr;  // SystemGetProcessName
};

/// Finds the functions in `library`, a handle of dlopen. Appends the symbols that it lacks to
/// `missing`.
Functions find_functions(void* library, std::vector<std::string>& missing);

/// The device, or all of NVML, is gone until NVML is initialised anew.
bool means_lost(Result result);
/// NVML will go on refusing this reading as long as it is initialised.
bool means_refused(Result result);

}  // namespace thermoe::nvml
