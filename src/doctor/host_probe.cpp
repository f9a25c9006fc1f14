// SPDX-License-Identifier: Apache-2.0
#include "doctor/host_probe.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <set>
#include <sstream>

#include "core/readable.h"
#include "doctor/container_limits.h"
#include "telemetry/host_file.h"

namespace thermoe::doctor {
namespace {

constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;
/// Beyond it no run ends well: the demo's own peak is 0.3 GiB.
constexpr double kLeastMemory = 0.5 * kGiB;

struct Feature {
  const char* name;
  std::vector<const char*> flags;  // of /proc/cpuinfo; any of them
};

const std::vector<Feature>& features() {
  static const std::vector<Feature> kFeatures = {{"AVX2", {"avx2"}},
                                                 {"AVX-512F", {"avx512f"}},
                                                 {"VNNI", {"avx512_vnni", "avx_vnni"}},
                                                 {"BF16", {"avx512_bf16"}},
                                                 {"AMX", {"amx_tile"}}};
  return kFeatures;
}

std::set<std::string> flags_of(const std::string& cpuinfo) {
  std::istringstream words(value_of(cpuinfo, "flags").value_or(""));
  std::set<std::string> flags;
  for (std::string word; words >> word;) flags.insert(word);
  return flags;
}

Finding cpu_model(const HostSystem& machine, const ContainerLimits& limits,
                  const std::string& cpuinfo) {
  Finding finding{.id = "cpu.model", .title = "Processor"};
  const auto model = value_of(cpuinfo, "model name");
  if (!model) {
    finding.detail = machine.at("/proc/cpuinfo") + " names no model";
    return finding;
  }
  finding.status = Status::kFound;
  finding.value = fmt::format("{}, {} core{} for this process", *model, machine.cpus,
                              machine.cpus == 1 ? "" : "s");
  if (limits.cpus && *limits.cpus < machine.cpus) {
    finding.detail =
        fmt::format("this container may use the time of {:.3g} (cgroup)", *limits.cpus);
  }
  return finding;
}

Finding cpu_features(const std::string& cpuinfo) {
  Finding finding{.id = "cpu.features", .title = "Vector features"};
  const std::set<std::string> flags = flags_of(cpuinfo);
  if (flags.empty()) {
    finding.detail = "the kernel lists no x86 features";
    return finding;
  }
  std::vector<std::string> has, lacks;
  for (const Feature& feature : features()) {
    const bool there = std::any_of(feature.flags.begin(), feature.flags.end(),
                                   [&](const char* flag) { return flags.count(flag) != 0; });
    (there ? has : lacks).push_back(feature.name);
  }
  finding.status = Status::kFound;
  finding.value = has.empty() ? "none of the known ones" : fmt::format("{}", fmt::join(has, ", "));
  if (!lacks.empty()) finding.detail = fmt::format("not here: {}", fmt::join(lacks, ", "));
  return finding;
}

Finding cpu_kernels(const HostSystem& machine) {
  Finding finding{.id = "cpu.kernels",
                  .title = "CPU kernels",
                  .status = Status::kFound,
                  .enables = "routing, dequantising and expert kernels at full vector width"};
  switch (machine.best_isa) {
    case cpu::Isa::kAvx512:
      finding.value = "AVX-512 path";
      break;
    case cpu::Isa::kAvx2:
      finding.value = "AVX2 path";
      break;
    case cpu::Isa::kBaseline:
      finding.status = Status::kMissing;
      finding.value = "portable path: same results, slower";
      finding.remedy =
          "use a processor with AVX2; in a virtual machine, pass the host's processor through "
          "(QEMU: -cpu host)";
      break;
  }
  return finding;
}

Finding memory(const HostSystem& machine, const ContainerLimits& limits) {
  Finding finding{.id = "memory",
                  .title = "Memory",
                  .enables = "a run of the demo, which takes 0.3 GiB; building takes 1.5 GiB a job",
                  .needed = true};
  const std::string text = read_host_file(machine.at("/proc/meminfo")).text.value_or("");
  const auto total = value_of(text, "MemTotal"), free = value_of(text, "MemAvailable");
  if (!total || !free) {
    finding.detail = machine.at("/proc/meminfo") + " does not say how much there is";
    return finding;
  }
  const double bytes = 1024.0 * std::strtod(total->c_str(), nullptr);
  double available = 1024.0 * std::strtod(free->c_str(), nullptr);
  finding.status = Status::kFound;
  finding.value = fmt::format("{:.1f} GiB, {:.1f} available", bytes / kGiB, available / kGiB);
  const bool limited = limits.memory && *limits.memory < bytes;
  if (limited) {
    const double left = limits.memory_left.value_or(*limits.memory);
    finding.detail = fmt::format("this container may use {:.1f} GiB, of which {:.1f} are left",
                                 *limits.memory / kGiB, left / kGiB);
    available = std::min(available, left);
  }
  if (available < kLeastMemory) {
    finding.status = Status::kBroken;
    finding.remedy = fmt::format(
        "end other programs{}; {:.1f} GiB must be available",
        limited ? " or raise the container's limit (docker run -m 2g)" : "", kLeastMemory / kGiB);
  }
  return finding;
}

}  // namespace

Section probe_host(const HostSystem& machine) {
  const std::string cpuinfo = read_host_file(machine.at("/proc/cpuinfo")).text.value_or("");
  const ContainerLimits limits = container_limits(machine);
  return {.title = "Processor and memory",
          .findings = {cpu_model(machine, limits, cpuinfo), cpu_features(cpuinfo),
                       cpu_kernels(machine), memory(machine, limits)}};
}

}  // namespace thermoe::doctor
