// SPDX-License-Identifier: Apache-2.0
#include "doctor/gpu_probe.h"

#include <fmt/format.h>

#include <algorithm>
#include <future>
#include <thread>
#include <utility>

#include "core/readable.h"
#include "doctor/cuda_version.h"
#include "doctor/device_nodes.h"
#include "telemetry/host_file.h"

namespace thermoe::doctor {
namespace {

constexpr const char* kInstallDriver =
    "install NVIDIA's driver and restart; on Ubuntu:\n"
    "$ sudo ubuntu-drivers install\n"
    "on Debian (non-free section of the package sources):\n"
    "$ sudo apt install nvidia-driver";
constexpr const char* kNoGpuHere =
    "nothing is needed for simulated runs; the rest wants a machine with an NVIDIA GPU, or one "
    "passed "
    "through to this virtual machine or container";
constexpr const char* kReadingsElsewhere =
    "NVML does not read this chip's sensors, or this driver is too old to. A Jetson shows its own "
    "as the host's:\n"
    "$ thermoe monitor --source host";
constexpr const char* kStartWithGpus =
    "start the container with its GPUs (NVIDIA Container Toolkit):\n"
    "$ docker run --gpus all ...\n"
    "$ podman run --device nvidia.com/gpu=all ...";

Finding driver(const HostSystem& machine, const DeviceNodes& nodes) {
  Finding finding{.id = "gpu.driver",
                  .title = "NVIDIA kernel driver",
                  .status = Status::kFound,
                  .enables = "everything that uses a real GPU"};
  if (const auto version = kernel_driver_version(machine)) {
    finding.value = *version;
  } else if (nodes.driver_loaded) {
    finding.value = "loaded, version unreadable";
  } else if (nodes.wsl) {
    finding.value = "that of Windows (WSL, /dev/dxg)";
  } else if (!nodes.gpus.empty()) {
    finding.status = Status::kUnknown;
    finding.detail =
        "device nodes are there, /proc/driver/nvidia is not: a sandbox hides it, or the driver "
        "was unloaded";
    finding.remedy = "if nothing below finds the GPU:\n$ sudo modprobe nvidia";
  } else {
    finding.status = Status::kMissing;
    finding.detail = nodes.on_pci_bus == 0
                         ? "no NVIDIA GPU is visible here"
                         : fmt::format("{} NVIDIA GPU{} on the PCI bus, and no driver is loaded",
                                       nodes.on_pci_bus, nodes.on_pci_bus == 1 ? "" : "s");
    finding.remedy = nodes.on_pci_bus == 0 ? kNoGpuHere : kInstallDriver;
  }
  return finding;
}

Finding closed_nodes(Finding finding, const DeviceNodes& nodes) {
  finding.status = Status::kNotPermitted;
  finding.value = fmt::format("{}", fmt::join(nodes.unusable, ", "));
  finding.detail = "this user may not open them";
  finding.remedy = nodes.in_container
                       ? "in a rootless container keep the groups that may:\n"
                         "$ podman run --group-add keep-groups ..."
                       : "join the group that owns them (ls -l /dev/nvidia*), then log in again:\n"
                         "$ sudo usermod -aG video \"$USER\"";
  return finding;
}

Finding devices(const DeviceNodes& nodes) {
  Finding finding{.id = "gpu.devices",
                  .title = "Device nodes",
                  .status = Status::kFound,
                  .enables = "access of this process to the GPUs"};
  if (!nodes.unusable.empty()) return closed_nodes(finding, nodes);
  if (!nodes.gpus.empty() && nodes.control) {
    finding.value = fmt::format("{}", fmt::join(nodes.gpus, ", "));
    if (nodes.on_pci_bus > static_cast<int>(nodes.gpus.size())) {
      finding.detail = fmt::format(
          "{} of the {} NVIDIA GPUs on the PCI bus: a container has those that it was started with "
          "(--gpus)",
          nodes.gpus.size(), nodes.on_pci_bus);
    }
    return finding;
  }
  if (nodes.wsl) {
    finding.value = "/dev/dxg";
    return finding;
  }
  finding.status = Status::kMissing;
  finding.detail = nodes.gpus.empty() ? "no /dev/nvidia0" : "no /dev/nvidiactl";
  if (!nodes.driver_loaded) {
    finding.remedy = "they come with the driver, see above";
  } else if (nodes.in_container) {
    finding.detail +=
        ", though the host's driver is loaded: this container was started without its GPUs";
    finding.remedy = kStartWithGpus;
  } else {
    finding.detail +=
        ", though the driver is loaded: the nodes were not made, or this is a container that was "
        "started without its GPUs (no --gpus)";
    finding.remedy =
        fmt::format("on the machine itself:\n$ sudo nvidia-modprobe -u -c=0\n{}", kStartWithGpus);
  }
  return finding;
}

Finding nvml_base() {
  return {.id = "nvml.library",
          .title = "NVML",
          .enables =
              "live power, temperature, clocks and utilisation: thermoe monitor, and control from "
              "a real GPU's sensors"};
}

Finding silent_nvml(const HostSystem& machine) {
  Finding finding = nvml_base();
  finding.status = Status::kBroken;
  finding.detail = fmt::format("did not answer within {:g} s: the driver hangs",
                               static_cast<double>(machine.nvml_patience.count()) / 1000.0);
  finding.remedy =
      "look for the driver's errors (Xid), then restart the machine:\n$ sudo dmesg | grep -i nvrm";
  return finding;
}

Finding failed_nvml(const NvmlProbe& nvml, const DeviceNodes& nodes) {
  Finding finding = nvml_base();
  const bool loaded = !nvml.library_path.empty();
  finding.status = !loaded                                             ? Status::kMissing
                   : nvml.error.find("ermission") != std::string::npos ? Status::kNotPermitted
                                                                       : Status::kBroken;
  finding.value = nvml.library_path;
  finding.detail = nvml.error;
  finding.remedy = nvml.remedy;
  if (!loaded && !nodes.gpus.empty()) {
    finding.detail += "; the GPU's device nodes are here, the driver's libraries are not";
    finding.remedy =
        "in a container ask for the libraries too:\n"
        "$ docker run --gpus all -e NVIDIA_DRIVER_CAPABILITIES=compute,utility ...\n"
        "on the machine itself install the library of the driver's very version; on Debian:\n"
        "$ sudo apt install libnvidia-ml1";
  } else if (!loaded && nodes.on_pci_bus == 0 && !nodes.driver_loaded) {
    finding.remedy = "it comes with the driver, see above";
  }
  return finding;
}

/// NVML answers; that there is no GPU is told apart.
bool works(const NvmlProbe& nvml) {
  return nvml.error.empty() || !nvml.driver_version.empty() || !nvml.nvml_version.empty();
}

Finding library(const HostSystem& machine, const std::optional<NvmlProbe>& nvml,
                const DeviceNodes& nodes) {
  if (!nvml) return silent_nvml(machine);
  if (!works(*nvml)) return failed_nvml(*nvml, nodes);
  Finding finding = nvml_base();
  finding.status = Status::kFound;
  finding.value = fmt::format("driver {}{}, {}", nvml->driver_version,
                              nvml->cuda_driver_version
                                  ? ", CUDA up to " + cuda_version_text(*nvml->cuda_driver_version)
                                  : "",
                              nvml->library_path);
  if (!nvml->missing.empty()) {
    finding.detail = fmt::format("this library lacks {}; a newer driver has them",
                                 fmt::join(nvml->missing, ", "));
  }
  return finding;
}

std::string readings(const NvmlGpuProbe& gpu) {
  std::vector<std::string> yes, no;
  for (const NvmlReadingSupport& reading : gpu.readings) {
    std::string name = reading.reading;
    std::replace(name.begin(), name.end(), '_', ' ');
    if (reading.available) {
      yes.push_back(name);
    } else {
      no.push_back(fmt::format("{} ({})", name, reading.reason));
    }
  }
  return fmt::format("answers: {}{}{}", yes.empty() ? "nothing" : "", fmt::join(yes, ", "),
                     no.empty() ? "" : fmt::format("; does not: {}", fmt::join(no, ", ")));
}

std::string properties(const NvmlGpuProbe& gpu) {
  std::string text = gpu.name.empty() ? "unnamed GPU" : gpu.name;
  if (gpu.memory_total_bytes) {
    text += fmt::format(", {:.0f} GiB", static_cast<double>(*gpu.memory_total_bytes) / (1U << 30));
  }
  if (gpu.compute_capability_major && gpu.compute_capability_minor) {
    text += fmt::format(", compute capability {}.{}", *gpu.compute_capability_major,
                        *gpu.compute_capability_minor);
  }
  if (gpu.power_limit) {
    text += fmt::format(", power limit {:.0f} W", gpu.power_limit->value);
    if (gpu.power_limit_min && gpu.power_limit_max) {
      text += fmt::format(" of {:.0f} to {:.0f}", gpu.power_limit_min->value,
                          gpu.power_limit_max->value);
    }
  }
  return text;
}

Finding gpu(const NvmlGpuProbe& probe) {
  Finding finding{.id = fmt::format("nvml.gpu.{}", probe.index),
                  .title = fmt::format("GPU {}", probe.index),
                  .status = Status::kFound,
                  .value = properties(probe),
                  .detail = readings(probe),
                  .enables = "telemetry of this GPU"};
  if (!probe.error.empty()) {
    finding.status = Status::kBroken;
    finding.detail = probe.error;
    finding.remedy = "see what the driver says of it:\n$ nvidia-smi -q -i " +
                     std::to_string(probe.index) + "\n$ sudo dmesg | grep -i nvrm";
  } else if (std::none_of(probe.readings.begin(), probe.readings.end(),
                          [](const NvmlReadingSupport& r) { return r.available; })) {
    finding.status = Status::kBroken;
    finding.remedy = kReadingsElsewhere;
  }
  return finding;
}

/// Whether a reading of power is there, which is what telemetry is for: one GPU with one is enough.
Finding gpu_power(const std::optional<NvmlProbe>& nvml) {
  Finding finding{.id = "nvml.power",
                  .title = "Power readings",
                  .detail = "no GPU to ask",
                  .enables = "watts and joules of a real GPU: monitor, and control of its power"};
  if (!nvml || !works(*nvml) || nvml->gpus.empty()) return finding;
  std::vector<std::string> with, without;
  for (const NvmlGpuProbe& gpu : nvml->gpus) {
    std::string why = gpu.error;
    bool any = false;
    for (const NvmlReadingSupport& reading : gpu.readings) {
      if (reading.reading != "power_average" && reading.reading != "power_instant") continue;
      any = any || reading.available;
      if (why.empty()) why = reading.reason;
    }
    (any ? with : without)
        .push_back(fmt::format("GPU {}{}", gpu.index, any ? "" : fmt::format(" ({})", why)));
  }
  finding.status = with.empty() ? Status::kMissing : Status::kFound;
  finding.value = fmt::format("{}", fmt::join(with, ", "));
  finding.detail = without.empty() ? "" : fmt::format("none of {}", fmt::join(without, ", "));
  if (with.empty()) finding.remedy = kReadingsElsewhere;
  return finding;
}

Finding gpu_count(const std::optional<NvmlProbe>& nvml) {
  Finding finding{.id = "nvml.gpus",
                  .title = "GPUs",
                  .status = Status::kUnknown,
                  .detail = "NVML did not say",
                  .enables = "telemetry and runs of a real GPU"};
  if (!nvml || !works(*nvml)) return finding;
  finding.value = std::to_string(nvml->gpus.size());
  finding.detail = nvml->error;
  finding.status = Status::kFound;
  if (nvml->gpus.empty()) {
    finding.status = Status::kMissing;
    finding.value.clear();
    finding.remedy = nvml->remedy;
  }
  return finding;
}

}  // namespace

std::optional<std::string> kernel_driver_version(const HostSystem& machine) {
  const HostFileText file = read_host_file(machine.at("/proc/driver/nvidia/version"));
  if (!file.text) return std::nullopt;
  const std::string line = value_of(*file.text, "NVRM version").value_or("");
  // "NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue ...", or "... Open Kernel Module for x86_64
  // 580.65.06 ...": the version is the first number that has dots.
  for (std::size_t at = 0; at < line.size(); ++at) {
    if (at > 0 && line[at - 1] != ' ') continue;
    const std::string word = line.substr(at, line.find(' ', at) - at);
    if (word.find('.') != std::string::npos && first_version(word) == word) return word;
  }
  return std::nullopt;
}

std::optional<NvmlProbe> ask_nvml(std::function<NvmlProbe()> ask,
                                  std::chrono::milliseconds patience) {
  std::packaged_task<NvmlProbe()> task(std::move(ask));  // keeps what is thrown for whoever waits
  std::future<NvmlProbe> answer = task.get_future();
  std::thread asking(std::move(task));
  if (answer.wait_for(patience) != std::future_status::ready) {
    // Nobody can stop a thread that the driver holds: it is left behind and owns all that it uses.
    asking.detach();
    return std::nullopt;
  }
  asking.join();
  return answer.get();
}

Section probe_gpu(const HostSystem& machine, const std::optional<NvmlProbe>& nvml) {
  const DeviceNodes nodes = look_for_device_nodes(machine);
  Section section{.title = "GPU",
                  .findings = {driver(machine, nodes), devices(nodes),
                               library(machine, nvml, nodes), gpu_count(nvml), gpu_power(nvml)}};
  if (nvml) {
    for (const NvmlGpuProbe& probe : nvml->gpus) section.findings.push_back(gpu(probe));
  }
  return section;
}

}  // namespace thermoe::doctor
