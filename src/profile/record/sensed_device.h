// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "core/snapshot.h"
#include "profile/record/op_record.h"

namespace thermoe {

/// What a poll says of the device that is profiled: the snapshot's GPU, or, where it has none, the
/// host's CPU packages together (RAPL).
struct SensedDevice {
  std::optional<Joules> energy{};
  std::uint64_t energy_gaps = 0;
  std::optional<Watts> power{};
  std::optional<Watts> power_limit{};
  DeviceState state{};
};
SensedDevice sensed_device(const Snapshot& snapshot);

}  // namespace thermoe
