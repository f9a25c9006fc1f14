// SPDX-License-Identifier: Apache-2.0
#include "kernels/device_memory.h"

#include <utility>

#include "kernels/cuda/check.h"

namespace thermoe {
namespace {

constexpr int kLeastMajor = 8;  // what the kernels are compiled for: see cmake/ThermoeCuda.cmake

}  // namespace

std::optional<std::string> device_problem() {
  int devices = 0;
  const cudaError_t result = cudaGetDeviceCount(&devices);
  if (result != cudaSuccess) {
    cudaGetLastError();  // or the next call would report it again
    int driver = 0;
    if (cudaDriverGetVersion(&driver) == cudaSuccess && driver == 0) {
      // CUDA calls this a driver that is too old.
      return "no CUDA device can be used: there is no NVIDIA driver here; `thermoe doctor` says "
             "more";
    }
    return fmt::format("no CUDA device can be used: {}; `thermoe doctor` says more",
                       cudaGetErrorString(result));
  }
  if (devices == 0) return "this machine has no CUDA device";
  const int major = cuda::device_attribute(cudaDevAttrComputeCapabilityMajor);
  const int minor = cuda::device_attribute(cudaDevAttrComputeCapabilityMinor);
  if (major >= kLeastMajor) return std::nullopt;
  return fmt::format("the CUDA device has compute capability {}.{}; the kernels need {}.0", major,
                     minor, kLeastMajor);
}

DeviceMemory::DeviceMemory(std::size_t bytes) : size_(bytes) {
  if (bytes == 0) return;
  cuda::expect_device();
  void* data = nullptr;
  cuda::check(cudaMalloc(&data, bytes), "cudaMalloc");
  data_ = static_cast<std::byte*>(data);
}

DeviceMemory::~DeviceMemory() { cudaFree(data_); }

DeviceMemory::DeviceMemory(DeviceMemory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

DeviceMemory& DeviceMemory::operator=(DeviceMemory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

void copy_to_device(void* device, std::span<const std::byte> host, Stream stream) {
  cuda::check(cudaMemcpyAsync(device, host.data(), host.size(), cudaMemcpyHostToDevice,
                              cuda::native(stream)),
              "cudaMemcpyAsync to the device");
}

void copy_to_host(std::span<std::byte> host, const void* device, Stream stream) {
  cuda::check(cudaMemcpyAsync(host.data(), device, host.size(), cudaMemcpyDeviceToHost,
                              cuda::native(stream)),
              "cudaMemcpyAsync to the host");
}

void copy_on_device(void* to, const void* from, std::size_t bytes, Stream stream) {
  cuda::check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, cuda::native(stream)),
              "cudaMemcpyAsync on the device");
}

void synchronise(Stream stream) {
  cuda::check(cudaStreamSynchronize(cuda::native(stream)), "cudaStreamSynchronize");
}

}  // namespace thermoe
