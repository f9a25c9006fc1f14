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
  /// sensor that says nothing is absent; a broken one may say NaN, which the monitor rejects. A GPU
  /// keeps its place from poll to poll, a host sensor its name. Throws TelemetryError if the device
  /// is gone.
  ///
  /// A source reads its clock before it calls anything that may never return: by the time such a
  /// call returns, the monitor, and the clock with it, may be gone.
  virtual Snapshot read() = 0;
  virtual std::string_view name() const = 0;
};

}  // namespace thermoe
