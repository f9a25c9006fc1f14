// SPDX-License-Identifier: Apache-2.0
#include "gpu_meter.h"

#include <array>

#include "kernels/cuda/check.h"
#include "telemetry/nvml_source.h"

namespace thermoe::bench {
namespace {

/// NVML's handle of the current CUDA device: the one at the same place of the bus, as the two count
/// devices differently.
std::optional<nvml::Device> same_device(const nvml::Functions& nvml) {
  int current = 0;
  cudaDeviceProp properties{};
  cuda::check(cudaGetDevice(&current), "cudaGetDevice");
  cuda::check(cudaGetDeviceProperties(&properties, current), "cudaGetDeviceProperties");
  unsigned devices = 0;
  if (nvml.device_count(&devices) != nvml::kSuccess) return std::nullopt;
  for (unsigned i = 0; i < devices; ++i) {
    nvml::Device device{};
    nvml::PciInfo pci{};
    if (nvml.device_by_index(i, &device) == nvml::kSuccess &&
        nvml.pci_info(device, &pci) == nvml::kSuccess &&
        pci.domain == static_cast<unsigned>(properties.pciDomainID) &&
        pci.bus == static_cast<unsigned>(properties.pciBusID) &&
        pci.device == static_cast<unsigned>(properties.pciDeviceID)) {
      return device;
    }
  }
  return std::nullopt;
}

}  // namespace

GpuMeter::GpuMeter() : session_(NvmlOptions{}.library) {
  if (session_.fault()) {
    problem_ = session_.fault()->sentence();
  } else if (const auto device = same_device(session_.functions())) {
    gpu_.emplace(session_, *device);
  } else {
    problem_ = "NVML does not list the CUDA device";
  }
}

GpuReading GpuMeter::read(bool with_energy) {
  return gpu_ ? gpu_->read(with_energy) : GpuReading{};
}

std::string GpuMeter::driver() const {
  std::array<char, nvml::kStringSize> text{};
  const auto ask = session_.functions().driver_version;
  if (session_.fault() || ask == nullptr ||
      ask(text.data(), static_cast<unsigned>(text.size())) != nvml::kSuccess) {
    return {};
  }
  return text.data();
}

}  // namespace thermoe::bench
