// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "core/snapshot.h"
#include "metrics/exported_metrics.h"

namespace thermoe {

/// A source's newest snapshot, as it is handed over.
struct HardwareValues {
  std::string source{};  ///< "NVML"; a later value of the same source replaces this one
  Snapshot snapshot{};
  Seconds keep{5.0};  ///< a reading older than this is left out: nobody knows it any more
};

/// Where and how old the values are that go on a page.
struct HardwareContext {
  std::string hostname{};
  Seconds since{};  ///< they were handed over
};

/// The readings of one source under DCGM's labels gpu, UUID and Hostname, gpu_name beside them, and
/// simulated="1" where nothing was measured.
void add_hardware(MetricsPage& page, const HardwareValues& values, const HardwareContext& context);

}  // namespace thermoe
