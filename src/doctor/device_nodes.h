// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "doctor/host_system.h"

namespace thermoe::doctor {

/// The traces that an NVIDIA GPU leaves in a Linux system, each of which may be there alone.
struct DeviceNodes {
  int on_pci_bus = 0;                   ///< display or 3D controllers of NVIDIA
  bool driver_loaded = false;           ///< /proc/driver/nvidia/version is there
  std::vector<std::string> gpus{};      ///< "/dev/nvidia0"
  std::vector<std::string> unusable{};  ///< nodes that this process may not open
  bool control = false;                 ///< /dev/nvidiactl
  bool wsl = false;                     ///< /dev/dxg: the GPU of Windows below
  bool in_container = false;
};

DeviceNodes look_for_device_nodes(const HostSystem& machine);

}  // namespace thermoe::doctor
