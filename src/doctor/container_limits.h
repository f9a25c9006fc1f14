// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "doctor/host_system.h"

namespace thermoe::doctor {

/// What the control groups of this process, a container's for one, let it use: the tightest of its
/// own group and those above it. Absent: no limit.
struct ContainerLimits {
  std::optional<double> cpus{};         ///< cores' worth of time
  std::optional<double> memory{};       ///< bytes
  std::optional<double> memory_left{};  ///< bytes, what is used and cannot be given back taken off
};

ContainerLimits container_limits(const HostSystem& machine);

}  // namespace thermoe::doctor
