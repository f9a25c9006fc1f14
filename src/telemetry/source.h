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
  /// `now` is the time at which the poll begins, on the clock of whoever calls. A source holds no
  /// clock: by the time a call into a driver returns, the monitor, and the clock with it, may be
  /// gone.
  virtual Snapshot read(Seconds now) = 0;
  virtual std::string_view name() const = 0;
};

}  // namespace thermoe
