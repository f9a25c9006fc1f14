// SPDX-License-Identifier: Apache-2.0
#include "doctor/diagnosis.h"

#include <fmt/format.h>

#include "doctor/cuda_probe.h"
#include "doctor/data_probe.h"
#include "doctor/gpu_probe.h"
#include "doctor/host_probe.h"
#include "doctor/profiler_probe.h"
#include "doctor/torch_probe.h"

namespace thermoe::doctor {
namespace {

std::string short_reason(const Finding& finding) {
  const bool denied = finding.status == Status::kNotPermitted;
  return fmt::format("{} {}", finding.title, denied ? "denied" : to_string(finding.status));
}

std::vector<const Finding*> failed_needs(const std::vector<Section>& sections) {
  std::vector<const Finding*> failed;
  for (const Section& section : sections) {
    for (const Finding& finding : section.findings) {
      const bool fine = finding.found() || finding.status == Status::kUnknown;
      if (finding.needed && !fine) failed.push_back(&finding);
    }
  }
  return failed;
}

Ability simulated_runs(const std::vector<Section>& sections) {
  Ability ability{.id = "simulated_runs", .title = "simulated runs and CPU kernels"};
  std::vector<std::string> reasons;
  for (const Finding* finding : failed_needs(sections)) {
    reasons.push_back(short_reason(*finding));
  }
  ability.possible = reasons.empty();
  ability.reason = fmt::format("{}", fmt::join(reasons, ", "));
  const Finding* kernels = find(sections, "cpu.kernels");
  if (ability.possible && kernels != nullptr) ability.reason = kernels->value;
  return ability;
}

/// Possible if every finding in `ids` was found; otherwise the first that was not says why.
Ability needs(const std::vector<Section>& sections, Ability ability,
              const std::vector<std::string>& ids) {
  ability.possible = true;
  for (const std::string& id : ids) {
    const Finding* finding = find(sections, id);
    if (finding != nullptr && finding->found()) continue;
    ability.possible = false;
    ability.reason = finding == nullptr ? "not looked for" : short_reason(*finding);
    break;
  }
  return ability;
}

/// Possible if any finding in `ids` was found; otherwise the first says why.
Ability needs_one(const std::vector<Section>& sections, const Ability& ability,
                  const std::vector<std::string>& ids) {
  for (const std::string& id : ids) {
    const Finding* finding = find(sections, id);
    if (finding != nullptr && finding->found()) return needs(sections, ability, {id});
  }
  return needs(sections, ability, {ids.front()});
}

}  // namespace

bool Diagnosis::healthy() const { return failed_needs(sections).empty(); }

std::vector<Ability> abilities(const std::vector<Section>& sections) {
  return {
      simulated_runs(sections),
      needs(sections, {.id = "gpu_telemetry", .title = "live GPU telemetry"},
            {"nvml.library", "nvml.gpus", "nvml.power"}),
      needs_one(sections, {.id = "host_power", .title = "power of the host"},
                {"host.rapl", "host.power_meters"}),
      needs(sections, {.id = "cuda_build", .title = "CUDA toolkit"}, {"cuda.toolkit"}),
      needs(sections, {.id = "cuda_run", .title = "running CUDA"},
            {"nvml.library", "nvml.gpus", "gpu.devices", "cuda.driver"}),
      needs(sections, {.id = "gpu_timeline", .title = "GPU timelines (nsys)"},
            {"nvml.library", "nvml.gpus", "nsys", "nsys.sqlite"}),
      needs(sections, {.id = "gpu_counters", .title = "GPU counters (ncu)"},
            {"nvml.library", "nvml.gpus", "ncu", "gpu.counters"}),
  };
}

Diagnosis diagnose(const HostSystem& machine) {
  const std::optional<NvmlProbe> nvml = ask_nvml(
      [options = NvmlOptions{.library = machine.nvml_library}] { return probe_nvml(options); },
      machine.nvml_patience);
  const std::optional<int> driver_cuda = nvml ? nvml->cuda_driver_version : std::nullopt;
  Diagnosis diagnosis{.sections = {probe_host(machine), probe_torch(machine, driver_cuda),
                                   probe_data(machine), probe_gpu(machine, nvml),
                                   probe_cuda(machine, driver_cuda), probe_profilers(machine),
                                   probe_host_sensors(machine), probe_test_tools(machine)},
                      .thread_left_behind = !nvml};
  diagnosis.abilities = abilities(diagnosis.sections);
  return diagnosis;
}

}  // namespace thermoe::doctor
