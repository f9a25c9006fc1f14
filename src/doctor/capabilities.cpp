// SPDX-License-Identifier: Apache-2.0
#include "doctor/capabilities.h"

#include <cstdint>
#include <cstdlib>
#include <sstream>

#include "core/readable.h"
#include "telemetry/host_file.h"

namespace thermoe::doctor {
namespace {

constexpr int kSysAdmin = 21, kPerfmon = 38;  // linux/capability.h

/// The first namespace of a machine maps every user to itself.
bool maps_all_users(const std::string& uid_map) {
  std::istringstream in(uid_map);
  std::uint64_t inside = 0, outside = 0, count = 0;
  in >> inside >> outside >> count;
  return inside == 0 && outside == 0 && count == 4294967295U;
}

}  // namespace

Capabilities capabilities_of_process(const HostSystem& machine) {
  const std::string status = read_host_file(machine.at("/proc/self/status")).text.value_or("");
  const auto effective = value_of(status, "CapEff");
  if (!effective) return {};
  const std::uint64_t bits = std::strtoull(effective->c_str(), nullptr, 16);
  const auto uid_map = read_host_file(machine.at("/proc/self/uid_map")).text;
  return {.known = true,
          .sys_admin = (bits >> kSysAdmin & 1U) != 0,
          .perfmon = (bits >> kPerfmon & 1U) != 0,
          .own_user_namespace = uid_map && !maps_all_users(*uid_map)};
}

}  // namespace thermoe::doctor
