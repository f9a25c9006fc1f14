// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/snapshot.h"
#include "core/tick_report.h"
#include "machine/gpu/energy_track.h"
#include "telemetry/gpu_system_monitor.h"

namespace thermoe {

/// What a real GPU truly does, by a source of its own that is read in a thread of its own: joules
/// of the board's counter, all else as the driver says. One thread's.
class GpuTruth {
 public:
  /// Waits for the first answer, and where there is an energy counter for its first two changes: at
  /// most ten seconds, and one. Throws Error where the source cannot be read. `source` shows one
  /// GPU; `clock` runs in real time and outlives it.
  GpuTruth(std::unique_ptr<Source> source, const Clock& clock, Seconds period);

  struct Stretch {
    TrueHardware hardware{};
    std::string problem{};  ///< why there is no energy
  };
  /// Of the time since the call before: `from` is where that ended. Throws Error where the GPU has
  /// vanished: its sensors fail for more than a second, or hang for more than five.
  Stretch between(Seconds from, Seconds to);

 private:
  void await_answer();
  void listen();
  void hear(const GpuReading& gpu);
  void expect_answers(Seconds now) const;

  const Clock& clock_;
  EnergyTrack energy_{};
  GpuReading latest_{};
  std::optional<Seconds> heard_at_{};    // when it last said something
  Seconds listened_to_{-1.0};            // newest snapshot that was looked at
  std::vector<std::string> problems_{};  // of the snapshots since it last said something
  std::vector<Megahertz> sm_clocks_{};   // since the last stretch
  std::uint64_t reasons_ = 0;            // likewise: all reasons to throttle
  GpuSystemMonitor monitor_;             // last: its thread ends first
};

}  // namespace thermoe
