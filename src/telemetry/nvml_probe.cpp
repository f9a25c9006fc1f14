// SPDX-License-Identifier: Apache-2.0
#include "telemetry/nvml_probe.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>

#include "telemetry/nvml_gpu.h"
#include "telemetry/plausibility.h"

namespace thermoe {
namespace {

using StringFunction = nvml::Result (*)(char*, unsigned);

std::string ask_string(StringFunction function) {
  std::array<char, nvml::kStringSize + 1> text{};
  if (function == nullptr || function(text.data(), nvml::kStringSize) != nvml::kSuccess) return {};
  return text.data();
}

/// Adds what NVML said about one reading.
template <class T>
void add_support(NvmlGpuProbe& probe, const NvmlSession& session, const char* name,
                 const Reading<T>& reading, std::optional<nvml::Result> answer) {
  NvmlReadingSupport support{.reading = name, .available = reading.value.has_value()};
  if (!support.available) {
    const bool answered = answer && *answer != nvml::kSuccess;
    support.reason = answered ? session.words(*answer) : "no usable value";
  }
  probe.readings.push_back(std::move(support));
}

void probe_readings(NvmlGpuProbe& probe, const NvmlSession& session, NvmlGpu& gpu) {
  using Q = NvmlQuestion;
  GpuReading r = gpu.read(true);
  reject_impossible(r);  // as NvmlSource does
  const auto add = [&](const char* name, const auto& reading, Q question) {
    add_support(probe, session, name, reading, gpu.answer(question));
  };
  add("temperature", r.temperature, Q::kTemperature);
  add("memory_temperature", r.memory_temperature, Q::kMemoryTemperature);
  add("power_average", r.power_average, Q::kPowerAverage);
  add("power_instant", r.power_instant, Q::kPowerInstant);
  add("power_limit", r.power_limit, Q::kPowerLimit);
  add("energy", r.energy, Q::kEnergy);
  add("gpu_utilisation", r.gpu_utilisation, Q::kUtilisation);
  add("memory_utilisation", r.memory_utilisation, Q::kUtilisation);
  add("sm_clock", r.sm_clock, Q::kSmClock);
  add("memory_clock", r.memory_clock, Q::kMemoryClock);
  add("throttle_reasons", r.throttle_reasons, Q::kThrottleReasons);
  probe.power_limit = r.power_limit.value;
  if (const auto lost = gpu.lost()) probe.error = session.explain("lost", *lost).sentence();
}

void probe_properties(NvmlGpuProbe& probe, const nvml::Functions& f, nvml::Device device) {
  nvml::PciInfo pci{};
  if (f.pci_info != nullptr && f.pci_info(device, &pci) == nvml::kSuccess) {
    probe.pci_bus_id.assign(pci.bus_id, std::find(pci.bus_id, std::end(pci.bus_id), '\0'));
  }
  nvml::Memory memory{};
  if (f.memory_info != nullptr && f.memory_info(device, &memory) == nvml::kSuccess) {
    probe.memory_total_bytes = memory.total;
  }
  int major = 0;
  int minor = 0;
  if (f.compute_capability != nullptr &&
      f.compute_capability(device, &major, &minor) == nvml::kSuccess) {
    probe.compute_capability_major = major;
    probe.compute_capability_minor = minor;
  }
  unsigned low = 0;
  unsigned high = 0;
  if (f.power_limit_range != nullptr &&
      f.power_limit_range(device, &low, &high) == nvml::kSuccess) {
    probe.power_limit_min = Watts(low * 1e-3);
    probe.power_limit_max = Watts(high * 1e-3);
  }
}

NvmlGpuProbe probe_gpu(const NvmlSession& session, unsigned index) {
  NvmlGpuProbe probe{.index = index};
  nvml::Device device{};
  const nvml::Result opened = session.functions().device_by_index(index, &device);
  if (opened != nvml::kSuccess) {
    probe.error = session.explain("cannot be opened", opened).sentence();
    return probe;
  }
  NvmlGpu gpu(session, device);
  probe.name = gpu.name();
  probe.uuid = gpu.uuid();
  if (const auto lost = gpu.lost()) {
    probe.error = session.explain("lost", *lost).sentence();
    return probe;
  }
  probe_properties(probe, session.functions(), device);
  probe_readings(probe, session, gpu);
  return probe;
}

}  // namespace

NvmlProbe probe_nvml(const NvmlOptions& options) {
  const NvmlSession session(options.library);
  NvmlProbe probe{.library = options.library,
                  .library_path = session.library_path(),
                  .missing = session.missing()};
  const nvml::Functions& f = session.functions();
  const auto set_fault = [&](const NvmlFault& fault) {
    probe.error = fault.cause;
    probe.remedy = fault.remedy;
  };
  if (session.fault()) {
    set_fault(*session.fault());
    return probe;
  }
  probe.driver_version = ask_string(f.driver_version);
  probe.nvml_version = ask_string(f.nvml_version);
  int cuda = 0;
  if (f.cuda_driver_version != nullptr && f.cuda_driver_version(&cuda) == nvml::kSuccess) {
    probe.cuda_driver_version = cuda;
  }
  unsigned count = 0;
  const nvml::Result counted = f.device_count(&count);
  if (counted != nvml::kSuccess) set_fault(session.explain("NVML cannot count the GPUs", counted));
  if (counted == nvml::kSuccess && count == 0) set_fault(no_gpu_fault());
  for (unsigned i = 0; i < count; ++i) probe.gpus.push_back(probe_gpu(session, i));
  return probe;
}

}  // namespace thermoe
