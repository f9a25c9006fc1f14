// SPDX-License-Identifier: Apache-2.0
#include "telemetry/gpu_processes.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <limits>

#include "telemetry/nvml_session.h"

namespace thermoe {
namespace {

constexpr int kAttempts = 4;  // more may come between two calls

std::optional<nvml::Device> device_of(const nvml::Functions& f, const std::string& uuid) {
  unsigned count = 0;
  if (f.uuid == nullptr || f.device_count(&count) != nvml::kSuccess) return std::nullopt;
  for (unsigned i = 0; i < count; ++i) {
    nvml::Device device{};
    std::array<char, nvml::kStringSize + 1> text{};  // one more: always terminated
    if (f.device_by_index(i, &device) == nvml::kSuccess &&
        f.uuid(device, text.data(), nvml::kStringSize) == nvml::kSuccess && uuid == text.data()) {
      return device;
    }
  }
  return std::nullopt;
}

std::optional<std::vector<nvml::ProcessInfo>> processes_on(const nvml::Functions& f,
                                                           nvml::Device device) {
  if (f.compute_processes == nullptr) return std::nullopt;
  std::vector<nvml::ProcessInfo> found(16);
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    auto count = static_cast<unsigned>(found.size());
    const nvml::Result result = f.compute_processes(device, &count, found.data());
    if (result == nvml::kSuccess) {
      found.resize(std::min<std::size_t>(count, found.size()));
      return found;
    }
    if (result != nvml::kInsufficientSize) return std::nullopt;
    found.resize(std::size_t{count} + 16);
  }
  return std::nullopt;
}

GpuProcess described(const nvml::Functions& f, const nvml::ProcessInfo& info) {
  GpuProcess process{.pid = info.pid};
  // By the driver, not by /proc: in a container the numbers are those of the host.
  std::array<char, 256> name{};
  if (f.process_name != nullptr &&
      f.process_name(info.pid, name.data(), name.size() - 1) == nvml::kSuccess) {
    process.name = name.data();
  }
  if (info.used_memory != std::numeric_limits<unsigned long long>::max()) {
    process.bytes = info.used_memory;
  }
  return process;
}

}  // namespace

std::optional<std::vector<GpuProcess>> find_gpu_processes(const std::string& library,
                                                          const std::string& uuid) {
  const NvmlSession session(library);
  if (session.fault()) return std::nullopt;
  const nvml::Functions& f = session.functions();
  const auto device = device_of(f, uuid);
  if (!device) return std::nullopt;
  const auto found = processes_on(f, *device);
  if (!found) return std::nullopt;
  std::vector<GpuProcess> processes;
  for (const nvml::ProcessInfo& info : *found) {
    if (info.pid != static_cast<unsigned>(::getpid())) processes.push_back(described(f, info));
  }
  return processes;
}

}  // namespace thermoe
