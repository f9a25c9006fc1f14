// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <set>
#include <utility>

#include "core/clock.h"
#include "core/readable.h"
#include "doctor/host_probe.h"
#include "telemetry/gpu_system_monitor.h"
#include "telemetry/host_file.h"
#include "telemetry/host_source.h"

namespace thermoe::doctor {
namespace {

constexpr std::size_t kShown = 6;  // names of sensors; a server has dozens

/// What the monitor's own source says of the sensors of one kind.
struct Said {
  std::vector<std::string> answering{};
  std::vector<std::string> silent{};  // there, and neither a value nor a reason
  std::vector<HostProblem> problems{};
};

bool is_rapl(const std::string& sensor) { return sensor.rfind("RAPL ", 0) == 0; }

bool is_power_file(const std::string& path) {
  return std::filesystem::path(path).filename().string().rfind("power", 0) == 0;
}

bool in_virtual_machine(const HostSystem& machine) {
  const HostFileText cpuinfo = read_host_file(machine.at("/proc/cpuinfo"));
  const std::string flags = " " + value_of(cpuinfo.text.value_or(""), "flags").value_or("") + " ";
  return flags.find(" hypervisor ") != std::string::npos;
}

std::string listed(std::vector<std::string> names) {
  const std::size_t all = names.size();
  names.resize(std::min(all, kShown));
  if (all > kShown) names.push_back(fmt::format("{} more", all - kShown));
  return fmt::format("{}", fmt::join(names, ", "));
}

/// For good, what the source's remedy opens until the next boot.
std::string lasting_remedy(const HostProblem& problem) {
  if (!is_rapl(problem.sensor) || !problem.permission) return "";
  return fmt::format(
      "For good, this line in /etc/udev/rules.d/70-rapl.rules:\n"
      "$ SUBSYSTEM==\"powercap\", ACTION==\"add\", RUN+=\"/bin/chmod a+r /sys%p/{}\"",
      std::filesystem::path(problem.path).filename().string());
}

/// Each remedy once, that of the file at fault.
std::string remedies(const std::vector<HostProblem>& problems) {
  std::vector<std::string> all;
  std::set<std::string> told;
  for (const HostProblem& problem : problems) {
    for (const std::string& remedy : {problem.remedy, lasting_remedy(problem)}) {
      if (!remedy.empty() && told.insert(remedy).second) all.push_back(remedy);
    }
  }
  if (all.empty()) all.emplace_back("see what the kernel says of it:\n$ sudo dmesg");
  return fmt::format("{}", fmt::join(all, "\n"));
}

/// Fills in what the source said, if there is any sensor of the kind.
bool tell(const Said& said, Finding& finding) {
  std::vector<std::string> troubles;
  for (const HostProblem& problem : said.problems) troubles.push_back(problem.words());
  for (const std::string& name : said.silent) troubles.push_back(name + ": gives no value");
  if (said.answering.empty() && troubles.empty()) return false;
  const bool denied = std::any_of(said.problems.begin(), said.problems.end(),
                                  [](const HostProblem& problem) { return problem.permission; });
  finding.status = !said.answering.empty() ? Status::kFound
                   : denied                ? Status::kNotPermitted
                                           : Status::kBroken;
  finding.value = listed(said.answering);
  finding.detail = fmt::format("{}", fmt::join(troubles, "; "));
  finding.remedy = remedies(said.problems);
  // Where one half answers, the finding shows no remedy of its own.
  if (finding.found() && denied) finding.detail += ". Remedy: " + finding.remedy;
  return true;
}

Finding rapl(const HostSystem& machine, const HostPaths& paths, const Said& said) {
  Finding finding{.id = "host.rapl",
                  .title = "RAPL energy counters",
                  .enables = "power and energy of processor and memory beside the GPU's"};
  if (tell(said, finding)) return finding;
  finding.status = Status::kMissing;
  finding.detail = fmt::format("no domain in {}", paths.powercap);
  finding.remedy = in_virtual_machine(machine)
                       ? "virtual machines hide these counters: run on the host itself"
                       : "load the driver, if the processor has the counters:\n"
                         "$ sudo modprobe intel_rapl_msr";
  return finding;
}

Finding hwmon(const HostSystem& machine, const HostPaths& paths, const Said& said) {
  Finding finding{.id = "host.hwmon",
                  .title = "Temperature sensors",
                  .enables = "temperatures of processor, memory and board"};
  if (tell(said, finding)) return finding;
  finding.status = Status::kMissing;
  finding.detail = fmt::format("no chip with a readable temperature in {}", paths.hwmon);
  finding.remedy = in_virtual_machine(machine)
                       ? "virtual machines hide these sensors: run on the host itself"
                       : "load the drivers of the board's chips; lm-sensors finds them:\n"
                         "$ sudo sensors-detect";
  return finding;
}

}  // namespace

Section probe_host_sensors(const HostSystem& machine) {
  const HostPaths paths{.powercap = machine.at("/sys/class/powercap"),
                        .hwmon = machine.at("/sys/class/hwmon")};
  const VirtualClock clock;
  auto owned = std::make_unique<HostSource>(paths);
  const HostSource& source = *owned;
  // It keeps it as a value that nothing at all can be read.
  GpuSystemMonitor monitor(std::move(owned), clock);
  monitor.poll();
  Said domains, temperatures, meters;
  std::set<std::string> troubled;
  const Snapshot snapshot = monitor.latest();
  for (const HostProblem& problem : source.problems()) {
    Said& kind = is_rapl(problem.sensor)       ? domains
                 : is_power_file(problem.path) ? meters
                                               : temperatures;
    kind.problems.push_back(problem);
    troubled.insert(problem.sensor);
  }
  for (const HostReading& reading : snapshot.host) {
    if (is_rapl(reading.name)) {
      auto& names = reading.energy.value ? domains.answering : domains.silent;
      if (reading.energy.value || troubled.count(reading.name) == 0) names.push_back(reading.name);
    }
    if (!is_rapl(reading.name) && reading.power.value) meters.answering.push_back(reading.name);
    if (reading.temperature.value) temperatures.answering.push_back(reading.name);
  }
  Section section{.title = "Host sensors",
                  .findings = {rapl(machine, paths, domains), hwmon(machine, paths, temperatures)}};
  Finding meter{.id = "host.power_meters",
                .title = "Power meters",
                .enables = "power of the board or a part of it"};
  if (tell(meters, meter)) section.findings.push_back(std::move(meter));
  return section;
}

}  // namespace thermoe::doctor
