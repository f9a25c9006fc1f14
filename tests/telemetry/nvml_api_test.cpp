// SPDX-License-Identifier: Apache-2.0
// Compares src/telemetry/nvml_api.h with NVIDIA's own nvml.h, at compile time. Built only where
// CMake finds that header.
#include "telemetry/nvml_api.h"

#include <gtest/gtest.h>
#include <nvml.h>

#include <cstddef>
#include <type_traits>

namespace thermoe::nvml {
namespace {

/// How a type travels in a call: any pointer as one, any enumeration as an int.
template <class T>
using Abi =
    std::conditional_t<std::is_pointer_v<T>, void*, std::conditional_t<std::is_enum_v<T>, int, T>>;
template <class F>
struct Signature;
template <class R, class... A>
struct Signature<R (*)(A...)> {
  using type = Abi<R>(Abi<A>...);
};
template <class Ours, class Theirs>
constexpr bool same_call =
    std::is_same_v<typename Signature<Ours>::type, typename Signature<Theirs>::type>;

static_assert(sizeof(Device) == sizeof(nvmlDevice_t));
static_assert(sizeof(Result) == sizeof(nvmlReturn_t));
static_assert(sizeof(ClockType) == sizeof(nvmlClockType_t));
static_assert(sizeof(TemperatureSensor) == sizeof(nvmlTemperatureSensors_t));

static_assert(kSuccess == int{NVML_SUCCESS} && kUninitialized == int{NVML_ERROR_UNINITIALIZED});
static_assert(kInvalidArgument == int{NVML_ERROR_INVALID_ARGUMENT});
static_assert(kNotSupported == int{NVML_ERROR_NOT_SUPPORTED});
static_assert(kNoPermission == int{NVML_ERROR_NO_PERMISSION});
static_assert(kInsufficientSize == int{NVML_ERROR_INSUFFICIENT_SIZE});
static_assert(kNotFound == int{NVML_ERROR_NOT_FOUND} && kTimeout == int{NVML_ERROR_TIMEOUT});
static_assert(kDriverNotLoaded == int{NVML_ERROR_DRIVER_NOT_LOADED});
static_assert(kFunctionNotFound == int{NVML_ERROR_FUNCTION_NOT_FOUND});
static_assert(kGpuIsLost == int{NVML_ERROR_GPU_IS_LOST});
static_assert(kResetRequired == int{NVML_ERROR_RESET_REQUIRED});
static_assert(kLibraryMismatch == int{NVML_ERROR_LIB_RM_VERSION_MISMATCH});
static_assert(kDeprecated == int{NVML_ERROR_DEPRECATED});
static_assert(kGpuNotFound == int{NVML_ERROR_GPU_NOT_FOUND});
static_assert(kUnknown == int{NVML_ERROR_UNKNOWN});
static_assert(kTemperatureGpu == int{NVML_TEMPERATURE_GPU});
static_assert(kClockSm == int{NVML_CLOCK_SM} && kClockMemory == int{NVML_CLOCK_MEM});

static_assert(kDouble == int{NVML_VALUE_TYPE_DOUBLE});
static_assert(kUnsignedInt == int{NVML_VALUE_TYPE_UNSIGNED_INT});
static_assert(kUnsignedLong == int{NVML_VALUE_TYPE_UNSIGNED_LONG});
static_assert(kUnsignedLongLong == int{NVML_VALUE_TYPE_UNSIGNED_LONG_LONG});
static_assert(kSignedLongLong == int{NVML_VALUE_TYPE_SIGNED_LONG_LONG});
static_assert(kSignedInt == int{NVML_VALUE_TYPE_SIGNED_INT});
static_assert(kUnsignedShort == int{NVML_VALUE_TYPE_UNSIGNED_SHORT});
static_assert(kFieldMemoryTemperature == NVML_FI_DEV_MEMORY_TEMP);
static_assert(kFieldPowerAverage == NVML_FI_DEV_POWER_AVERAGE);
static_assert(kFieldPowerInstant == NVML_FI_DEV_POWER_INSTANT);

static_assert(sizeof(Value) == sizeof(nvmlValue_t));
static_assert(sizeof(FieldValue) == sizeof(nvmlFieldValue_t));
static_assert(offsetof(FieldValue, field) == offsetof(nvmlFieldValue_t, fieldId));
static_assert(offsetof(FieldValue, scope) == offsetof(nvmlFieldValue_t, scopeId));
static_assert(offsetof(FieldValue, type) == offsetof(nvmlFieldValue_t, valueType));
static_assert(offsetof(FieldValue, result) == offsetof(nvmlFieldValue_t, nvmlReturn));
static_assert(offsetof(FieldValue, value) == offsetof(nvmlFieldValue_t, value));
static_assert(sizeof(Utilisation) == sizeof(nvmlUtilization_t));
static_assert(offsetof(Utilisation, memory) == offsetof(nvmlUtilization_t, memory));
static_assert(sizeof(Memory) == sizeof(nvmlMemory_t));
static_assert(offsetof(Memory, used) == offsetof(nvmlMemory_t, used));
static_assert(sizeof(PciInfo) == sizeof(nvmlPciInfo_t));
static_assert(offsetof(PciInfo, bus) == offsetof(nvmlPciInfo_t, bus));
static_assert(offsetof(PciInfo, bus_id) == offsetof(nvmlPciInfo_t, busId));
static_assert(sizeof(ProcessInfo) == sizeof(nvmlProcessInfo_t));
static_assert(offsetof(ProcessInfo, used_memory) == offsetof(nvmlProcessInfo_t, usedGpuMemory));
static_assert(offsetof(ProcessInfo, gpu_instance) == offsetof(nvmlProcessInfo_t, gpuInstanceId));
static_assert(kStringSize >= NVML_DEVICE_UUID_V2_BUFFER_SIZE);
static_assert(kStringSize >= NVML_DEVICE_NAME_V2_BUFFER_SIZE);
static_assert(kStringSize >= NVML_SYSTEM_DRIVER_VERSION_BUFFER_SIZE);
static_assert(kStringSize >= NVML_SYSTEM_NVML_VERSION_BUFFER_SIZE);

static_assert(same_call<decltype(Functions::init), decltype(&nvmlInit_v2)>);
static_assert(same_call<decltype(Functions::shutdown), decltype(&nvmlShutdown)>);
static_assert(same_call<decltype(Functions::error_string), decltype(&nvmlErrorString)>);
static_assert(
    same_call<decltype(Functions::driver_version), decltype(&nvmlSystemGetDriverVersion)>);
static_assert(same_call<decltype(Functions::nvml_version), decltype(&nvmlSystemGetNVMLVersion)>);
static_assert(same_call<decltype(Functions::cuda_driver_version),
                        decltype(&nvmlSystemGetCudaDriverVersion_v2)>);
static_assert(same_call<decltype(Functions::device_count), decltype(&nvmlDeviceGetCount_v2)>);
static_assert(
    same_call<decltype(Functions::device_by_index), decltype(&nvmlDeviceGetHandleByIndex_v2)>);
static_assert(same_call<decltype(Functions::name), decltype(&nvmlDeviceGetName)>);
static_assert(same_call<decltype(Functions::uuid), decltype(&nvmlDeviceGetUUID)>);
static_assert(same_call<decltype(Functions::pci_info), decltype(&nvmlDeviceGetPciInfo_v3)>);
static_assert(same_call<decltype(Functions::memory_info), decltype(&nvmlDeviceGetMemoryInfo)>);
static_assert(same_call<decltype(Functions::compute_capability),
                        decltype(&nvmlDeviceGetCudaComputeCapability)>);
// Deprecated in CUDA 13.0 in favour of ...TemperatureV, which older drivers lack; libraries keep
// such symbols for many years.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
static_assert(same_call<decltype(Functions::temperature), decltype(&nvmlDeviceGetTemperature)>);
#pragma GCC diagnostic pop
static_assert(same_call<decltype(Functions::field_values), decltype(&nvmlDeviceGetFieldValues)>);
static_assert(same_call<decltype(Functions::power_usage), decltype(&nvmlDeviceGetPowerUsage)>);
static_assert(
    same_call<decltype(Functions::power_limit), decltype(&nvmlDeviceGetEnforcedPowerLimit)>);
static_assert(same_call<decltype(Functions::power_limit_range),
                        decltype(&nvmlDeviceGetPowerManagementLimitConstraints)>);
static_assert(
    same_call<decltype(Functions::energy), decltype(&nvmlDeviceGetTotalEnergyConsumption)>);
static_assert(
    same_call<decltype(Functions::utilisation), decltype(&nvmlDeviceGetUtilizationRates)>);
static_assert(same_call<decltype(Functions::clock), decltype(&nvmlDeviceGetClockInfo)>);
static_assert(same_call<decltype(Functions::compute_processes),
                        decltype(&nvmlDeviceGetComputeRunningProcesses_v3)>);
static_assert(same_call<decltype(Functions::process_name), decltype(&nvmlSystemGetProcessName)>);

TEST(NvmlApi, AgreesWithTheInstalledHeader) {
  SUCCEED() << "checked by the compiler against NVML API " << NVML_API_VERSION;
}

}  // namespace
}  // namespace thermoe::nvml
