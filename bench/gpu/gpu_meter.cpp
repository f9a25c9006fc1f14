// SPDX-License-Identifier: Apache-2.0
#include "gpu_meter.h"

#include "kernels/device_description.h"
#include "telemetry/nvml_source.h"

namespace thermoe::bench {

GpuMeter::GpuMeter() : session_(NvmlOptions{}.library) {
  if (session_.fault()) {
    problem_ = session_.fault()->sentence();
    return;
  }
  const nvml::Functions& nvml = session_.functions();
  const std::string uuid = describe_device().uuid;  // the two count devices differently
  unsigned devices = 0;
  nvml.device_count(&devices);
  for (unsigned i = 0; i < devices; ++i) {
    nvml::Device device{};
    if (nvml.device_by_index(i, &device) != nvml::kSuccess) continue;
    if (gpu_.emplace(session_, device).uuid() == uuid) return;
  }
  gpu_.reset();
  problem_ = "NVML does not list the CUDA device";
}

GpuReading GpuMeter::read(bool with_energy) {
  return gpu_ ? gpu_->read(with_energy) : GpuReading{};
}

}  // namespace thermoe::bench
