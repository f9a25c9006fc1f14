// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "core/snapshot.h"
#include "telemetry/plausibility.h"

namespace thermoe {

/// Where telemetry comes from: NVML, the host, a recording, a simulation.
class Source {
 public:
  virtual ~Source() = default;

  /// One blocking poll. Sets each reading's value only: `GpuSystemMonitor` stamps the times. A
  /// sensor that says nothing is absent; what it says and cannot be true (a NaN, 4294967 W) is
  /// absent and `rejected`, and `problems` names it. A GPU keeps its index from poll to poll, a
  /// host sensor its name. Throws TelemetryError if the device is gone.
  ///
  /// `now` is the time at which the poll begins, on the clock of whoever calls. A source holds no
  /// clock: by the time a call into a driver returns, the monitor, and the clock with it, may be
  /// gone.
  Snapshot read(Seconds now);
  virtual std::string_view name() const = 0;

 private:
  /// The same, as the sensors say it.
  virtual Snapshot poll(Seconds now) = 0;

  PlausibilityCheck plausibility_;
};

}  // namespace thermoe
