// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>

#include "core/units.h"

namespace thermoe {

/// Time since the clock's own start. Injected everywhere: nothing in the library reads a wall
/// clock.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual Seconds now() const = 0;
};

/// The machine's monotonic time.
class SteadyClock final : public Clock {
 public:
  Seconds now() const override {
    return Seconds(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count());
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// Time that passes only when told to: simulation and tests. Safe to read from any thread.
class VirtualClock final : public Clock {
 public:
  Seconds now() const override { return Seconds(now_.load(std::memory_order_acquire)); }
  void advance_to(Seconds t) { now_.store(t.value, std::memory_order_release); }

 private:
  std::atomic<double> now_{0.0};
};

}  // namespace thermoe
