// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mutex>
#include <optional>
#include <string_view>

#include "core/snapshot.h"
#include "telemetry/source.h"

namespace thermoe {

/// Sensors that the program around us reads and hands in.
class CallerSensors {
 public:
  /// Replaces what was handed in before. Any thread.
  void set(const GpuReading& reading, Seconds at);

  /// What was handed in last, as a source; the sensors must outlive it. A reading that is older
  /// than `stale_after` is absent: nobody says that it still holds.
  class AsSource final : public Source {
   public:
    AsSource(const CallerSensors& sensors, Seconds stale_after)
        : sensors_(sensors), stale_after_(stale_after) {}
    std::string_view name() const override { return "caller"; }

   private:
    Snapshot poll(Seconds now) override;
    const CallerSensors& sensors_;
    Seconds stale_after_;
  };

 private:
  mutable std::mutex mutex_;
  GpuReading reading_{};
  std::optional<Seconds> at_{};  // absent: nothing was handed in yet
};

}  // namespace thermoe
