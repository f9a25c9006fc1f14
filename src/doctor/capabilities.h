// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "doctor/host_system.h"

namespace thermoe::doctor {

/// What the kernel lets this process do, beyond its user.
struct Capabilities {
  bool known = false;
  bool sys_admin = false;
  bool perfmon = false;
  bool own_user_namespace = false;  ///< then they do not count outside it
};

Capabilities capabilities_of_process(const HostSystem& machine);

}  // namespace thermoe::doctor
