// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>

#include "core/units.h"

namespace thermoe {

using WallTime = std::chrono::system_clock::time_point;

/// Injected everywhere: nothing in the library reads the machine's own clocks.
class Clock {
 public:
  virtual ~Clock() = default;
  /// Time since the clock's own start; never steps. The machine's stands still during a suspend.
  virtual Seconds now() const = 0;
  /// Time of day as the machine has it: steps when NTP or a person sets it.
  virtual WallTime wall_time() const = 0;
};

/// The machine's monotonic time and its time of day.
class SteadyClock final : public Clock {
 public:
  Seconds now() const override {
    return Seconds(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count());
  }
  WallTime wall_time() const override { return std::chrono::system_clock::now(); }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// Time that passes only when told to: simulation and tests. Safe to read from any thread.
class VirtualClock final : public Clock {
 public:
  Seconds now() const override { return Seconds(now_.load(std::memory_order_acquire)); }
  void advance_to(Seconds t) { now_.store(t.value, std::memory_order_release); }
  /// As it was set; it does not follow `now`.
  WallTime wall_time() const override { return wall_time_.load(std::memory_order_acquire); }
  void set_wall_time(WallTime t) { wall_time_.store(t, std::memory_order_release); }

 private:
  std::atomic<double> now_{0.0};
  std::atomic<WallTime> wall_time_{};
};

}  // namespace thermoe
