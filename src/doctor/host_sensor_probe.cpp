// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "doctor/host_probe.h"
#include "doctor/readable.h"

namespace thermoe::doctor {
namespace {

constexpr const char* kRaplRemedy =
    "the counter is root-only since Linux 5.10, because power readings can leak what other "
    "programs compute (PLATYPUS, CVE-2020-8694): open it only where every user is trusted.\n"
    "Until the next boot:\n"
    "$ sudo chmod o+r /sys/class/powercap/intel-rapl:*/energy_uj\n"
    "For good, this line in /etc/udev/rules.d/70-rapl.rules:\n"
    "$ SUBSYSTEM==\"powercap\", ACTION==\"add\", RUN+=\"/bin/chmod o+r /sys%p/energy_uj\"";

bool in_virtual_machine(const HostSystem& machine) {
  const TextFile cpuinfo = read_text(machine.at("/proc/cpuinfo"));
  const std::string flags = " " + value_of(cpuinfo.text.value_or(""), "flags").value_or("") + " ";
  return flags.find(" hypervisor ") != std::string::npos;
}

/// "package-0 (intel-rapl:0)" or just the folder's name.
std::string domain_name(const std::string& folder, const std::string& name) {
  const TextFile label = read_text(folder + "/" + name + "/name");
  return label.text ? fmt::format("{} ({})", trimmed(*label.text), name) : name;
}

Finding rapl(const HostSystem& machine) {
  Finding finding{.id = "host.rapl",
                  .title = "RAPL energy counters",
                  .enables = "power and energy of processor and memory beside the GPU's"};
  const std::string folder = machine.at("/sys/class/powercap");
  std::vector<std::string> readable, closed, failing;
  for (const std::string& name : names_in(folder)) {
    const TextFile counter = read_text(folder + "/" + name + "/energy_uj");
    if (!counter.exists()) continue;  // a control type, not a domain
    (counter.text              ? readable
     : counter.not_permitted() ? closed
                               : failing)
        .push_back(domain_name(folder, name));
  }
  if (!readable.empty()) {
    finding.status = Status::kFound;
    finding.value = fmt::format("{}", fmt::join(readable, ", "));
  } else if (!closed.empty()) {
    finding.status = Status::kNotPermitted;
    finding.value = fmt::format("{}", fmt::join(closed, ", "));
    finding.detail = "energy_uj may not be read by this user";
    finding.remedy = kRaplRemedy;
  } else if (!failing.empty()) {
    finding.status = Status::kBroken;
    finding.value = fmt::format("{}", fmt::join(failing, ", "));
    finding.detail = "reading energy_uj fails";
  } else {
    finding.status = Status::kMissing;
    finding.detail = fmt::format("no domain in {}", folder);
    finding.remedy = in_virtual_machine(machine)
                         ? "virtual machines hide these counters: run on the host itself"
                         : "load the driver, if the processor has the counters:\n"
                           "$ sudo modprobe intel_rapl_msr";
  }
  return finding;
}

bool measures_temperature(const std::string& chip) {
  const std::vector<std::string> names = names_in(chip);
  return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
    return name.rfind("temp", 0) == 0 && name.find("_input") != std::string::npos &&
           read_text(chip + "/" + name).text.has_value();
  });
}

Finding hwmon(const HostSystem& machine) {
  Finding finding{.id = "host.hwmon",
                  .title = "Temperature sensors",
                  .status = Status::kMissing,
                  .enables = "temperatures of processor, memory and board"};
  const std::string folder = machine.at("/sys/class/hwmon");
  std::vector<std::string> chips;
  for (const std::string& name : names_in(folder)) {
    const std::string chip = folder + "/" + name;
    if (!measures_temperature(chip)) continue;
    chips.push_back(trimmed(read_text(chip + "/name").text.value_or(name)));
  }
  if (!chips.empty()) {
    finding.status = Status::kFound;
    finding.value = fmt::format("{}", fmt::join(chips, ", "));
    return finding;
  }
  finding.detail = fmt::format("no chip with a readable temperature in {}", folder);
  finding.remedy = in_virtual_machine(machine)
                       ? "virtual machines hide these sensors: run on the host itself"
                       : "load the drivers of the board's chips; lm-sensors finds them:\n"
                         "$ sudo sensors-detect";
  return finding;
}

}  // namespace

Section probe_host_sensors(const HostSystem& machine) {
  return {.title = "Host sensors", .findings = {rapl(machine), hwmon(machine)}};
}

}  // namespace thermoe::doctor
