// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "core/clock.h"
#include "core/units.h"
#include "telemetry/source.h"

namespace thermoe {

/// Mean power of one GPU by its energy counter. That moves only every 100 ms or so: a stretch is
/// measured from one move to another, however short it is.
class BoardPower {
 public:
  /// `source` reads the energy counter in every poll. `pause` waits. `clock` must outlive it.
  /// Throws UsageError, with the remedy, where the source knows no GPU of that UUID or the driver
  /// tells neither its energy nor its power limit.
  BoardPower(std::unique_ptr<Source> source, std::string uuid, const Clock& clock,
             std::function<void(Seconds)> pause);

  Watts limit() const { return limit_; }

  /// A time at which the counter moved, and where to.
  struct Mark {
    Seconds at{};
    Joules energy{};
    std::uint64_t gaps = 0;
  };
  /// Waits for it: 0.1 s or so. Throws TelemetryError where it stands still or the GPU is gone.
  Mark mark();
  /// Throws TelemetryError where the counter began anew between the two.
  static Watts mean(const Mark& from, const Mark& to);

 private:
  GpuReading read();

  const std::unique_ptr<Source> source_;
  const std::string uuid_;
  const Clock& clock_;
  const std::function<void(Seconds)> pause_;
  Watts limit_{};
};

}  // namespace thermoe
