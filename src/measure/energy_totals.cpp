// SPDX-License-Identifier: Apache-2.0
#include "measure/energy_totals.h"

#include <fmt/format.h>

namespace thermoe {
namespace {

void add(EnergySum& sum, const std::string& label, const DeviceMeasurement& device) {
  ++sum.devices;
  if (!device.energy.joules && sum.absent_because.empty()) {
    sum.absent_because = fmt::format("{}: {}", label, device.energy.absent_because);
  }
  if (!sum.absent_because.empty()) {
    sum.joules.reset(), sum.mean_power.reset();
    return;
  }
  sum.joules = sum.joules.value_or(Joules(0)) + *device.energy.joules;
  sum.mean_power = sum.mean_power.value_or(Watts(0)) + *device.mean_power;
}

void add(EnergySum& total, const EnergySum& part) {
  if (part.devices == 0) return;
  total.devices += part.devices;
  if (total.absent_because.empty()) total.absent_because = part.absent_because;
  if (!total.absent_because.empty()) {
    total.joules.reset(), total.mean_power.reset();
    return;
  }
  total.joules = total.joules.value_or(Joules(0)) + *part.joules;
  total.mean_power = total.mean_power.value_or(Watts(0)) + *part.mean_power;
}

}  // namespace

HostPart host_part(std::string_view name) {
  constexpr std::string_view kPackagePrefix = "RAPL package-";
  if (!name.starts_with(kPackagePrefix)) return HostPart::kOther;
  if (name.find(' ', kPackagePrefix.size()) == std::string_view::npos) return HostPart::kPackage;
  return name.ends_with(" dram") ? HostPart::kDram : HostPart::kOther;
}

std::string gpu_label(const DeviceMeasurement& gpu) { return fmt::format("GPU {}", gpu.index); }

EnergyTotals energy_totals(const WindowMeasurement& window) {
  EnergyTotals totals;
  for (const DeviceMeasurement& gpu : window.gpus) add(totals.gpu, gpu_label(gpu), gpu);
  for (const DeviceMeasurement& device : window.host) {
    if (device.silent) continue;  // RAPL is often for root only: then the host is not measured
    const HostPart part = host_part(device.name);
    if (part == HostPart::kPackage) add(totals.cpu, device.name, device);
    if (part == HostPart::kDram) add(totals.dram, device.name, device);
  }
  for (const EnergySum* part : {&totals.gpu, &totals.cpu, &totals.dram}) add(totals.total, *part);
  if (totals.total.devices == 0) {
    totals.total.absent_because = "no GPU and no CPU package was measured";
  }
  return totals;
}

}  // namespace thermoe
