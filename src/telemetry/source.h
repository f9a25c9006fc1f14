// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "core/snapshot.h"

namespace thermoe {

/// Where telemetry comes from: NVML, the host, a recording, a simulation.
class Source {
 public:
  virtual ~Source() = default;
  /// One blocking poll. Sets each reading's value only: `GpuSystemMonitor` stamps the times. A
  /// sensor that says nothing is absent; a broken one may say NaN, which the monitor rejects.
  /// Throws TelemetryError if the device is gone.
  virtual Snapshot read() = 0;
  virtual std::string_view name() const = 0;
};

}  // namespace thermoe
