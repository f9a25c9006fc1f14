// SPDX-License-Identifier: Apache-2.0
#include "kernels/device_description.h"

#include "kernels/cuda/check.h"

namespace thermoe {
namespace {

std::string uuid_text(const cudaUUID_t& uuid) {
  std::string text = "GPU-";
  for (int i = 0; i < 16; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += fmt::format("{:02x}", static_cast<unsigned char>(uuid.bytes[i]));
  }
  return text;
}

/// After a call that may be the first to need the device itself: where another process has it, that
/// one fails.
void expect_ours(cudaError_t result, const std::string& name, const char* call) {
  if (result == cudaErrorDevicesUnavailable) {
    cudaGetLastError();  // or the next launch would report it again
    throw UsageError(fmt::format(
        "{} is not to be had: its compute mode is exclusive and another process has it, or "
        "prohibited; end that process, or set the mode with `nvidia-smi -c DEFAULT`",
        name));
  }
  cuda::check(result, call);
}

}  // namespace

void use_device(int index) {
  cuda::expect_device();
  int devices = 0;
  cuda::check(cudaGetDeviceCount(&devices), "cudaGetDeviceCount");
  if (index < 0 || index >= devices) {
    throw UsageError(fmt::format("there is no CUDA device {}: this machine has {}, counted from 0",
                                 index, devices));
  }
  expect_ours(cudaSetDevice(index), fmt::format("CUDA device {}", index), "cudaSetDevice");
}

DeviceDescription describe_device() {
  cuda::expect_device();
  int device = 0;
  int version = 0;
  cudaDeviceProp properties{};
  cuda::check(cudaGetDevice(&device), "cudaGetDevice");
  cuda::check(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  cuda::check(cudaDriverGetVersion(&version), "cudaDriverGetVersion");
  DeviceDescription description{
      .name = properties.name,
      .uuid = uuid_text(properties.uuid),
      .driver_cuda = fmt::format("{}.{}", version / 1000, version % 1000 / 10),
      .exclusive =
          cuda::device_attribute(cudaDevAttrComputeMode) == cudaComputeModeExclusiveProcess,
      .l2_cache = static_cast<std::size_t>(properties.l2CacheSize)};
  expect_ours(cudaMemGetInfo(&description.free_memory, &description.memory), description.name,
              "cudaMemGetInfo");
  return description;
}

}  // namespace thermoe
