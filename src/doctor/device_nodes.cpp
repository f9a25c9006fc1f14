// SPDX-License-Identifier: Apache-2.0
#include "doctor/device_nodes.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "core/readable.h"
#include "telemetry/host_file.h"

namespace thermoe::doctor {
namespace {

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

/// Asked, not tried: opening a GPU's node wakes the GPU.
bool usable(const std::string& path) {
  return ::faccessat(AT_FDCWD, path.c_str(), R_OK | W_OK, AT_EACCESS) == 0;
}

bool is_gpu_node(const std::string& name) {
  const std::string prefix = "nvidia";
  return name.size() > prefix.size() && name.rfind(prefix, 0) == 0 &&
         std::all_of(name.begin() + static_cast<std::ptrdiff_t>(prefix.size()), name.end(),
                     [](char c) { return c >= '0' && c <= '9'; });
}

int nvidia_on_pci_bus(const HostSystem& machine) {
  const std::string bus = machine.at("/sys/bus/pci/devices");
  int count = 0;
  for (const std::string& name : names_in(bus)) {
    const std::string device = fmt::format("{}/{}", bus, name);
    const std::string vendor = trimmed(read_host_file(device + "/vendor").text.value_or(""));
    const std::string kind = trimmed(read_host_file(device + "/class").text.value_or(""));
    if (vendor == "0x10de" && kind.rfind("0x03", 0) == 0) ++count;
  }
  return count;
}

bool is_container(const HostSystem& machine) {
  if (exists(machine.at("/.dockerenv")) || exists(machine.at("/run/.containerenv"))) return true;
  const std::string groups = read_host_file(machine.at("/proc/1/cgroup")).text.value_or("");
  for (const char* word : {"docker", "kubepods", "containerd", "lxc"}) {
    if (groups.find(word) != std::string::npos) return true;
  }
  return false;
}

}  // namespace

DeviceNodes look_for_device_nodes(const HostSystem& machine) {
  DeviceNodes nodes{.on_pci_bus = nvidia_on_pci_bus(machine),
                    .driver_loaded = exists(machine.at("/proc/driver/nvidia/version")),
                    .wsl = exists(machine.at("/dev/dxg")),
                    .in_container = is_container(machine)};
  for (const std::string& name : names_in(machine.at("/dev"))) {
    const bool control = name == "nvidiactl";
    if (!control && !is_gpu_node(name)) continue;
    const std::string path = machine.at("/dev/" + name);
    if (control) {
      nodes.control = true;
    } else {
      nodes.gpus.push_back(path);
    }
    if (!usable(path)) nodes.unusable.push_back(path);
  }
  return nodes;
}

}  // namespace thermoe::doctor
