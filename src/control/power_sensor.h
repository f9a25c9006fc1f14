// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <optional>

#include "core/snapshot.h"
#include "core/units.h"

namespace thermoe {

/// Power of the controlled GPU: field 186 where there is one, else the 1 s average.
struct PowerReading {
  const Reading<Watts>* reading = nullptr;  ///< null: there is no GPU in the snapshot
  bool averaged = false;                    ///< mean over the last second
};
PowerReading power_reading(const Snapshot& snapshot);

/// What the readings themselves tell of a power sensor: how fine its steps are, how often it is
/// updated, and whether it has stopped. A reading that stands still is no fault by itself: a sensor
/// of 5 W steps does so on a steady machine. It has stopped if either
///   - it changed with nearly every update, and no longer does, or
///   - the power that the model expects it to show has moved by more than its steps, and stays
///   away.
class PowerSensor {
 public:
  /// Between two updates, as NVML has it, until two changes were seen.
  static constexpr Seconds kUsualPeriod{0.1};

  /// `stale_after`: the least time after which a reading that should have moved has stopped.
  explicit PowerSensor(Seconds stale_after) : stale_after_(stale_after) {}

  /// Once a tick. `modelled`: the power that the reading should show by the model, seen through the
  /// sensor's lag; absent where the model does not reach back that far. `rests`: no work was under
  /// way, and a reading may stand as still as the machine, however lively it was.
  void observe(const PowerReading& power, Seconds now, std::optional<Watts> modelled,
               bool rests = false);

  /// The reading has stopped. Only a change ends that.
  bool frozen() const { return frozen_; }
  /// How long it may stand still although it should have moved: a few updates at least.
  Seconds limit() const;
  /// Whether this reading tells something that the one learned at `last` did not: it changed, or it
  /// had time to and the power stands as still as it does.
  bool is_news(const Reading<Watts>& reading, const std::optional<Seconds>& last) const;

 private:
  void rest(std::optional<Watts> modelled);
  bool lively() const;
  Seconds period() const;
  Watts allowance(Watts modelled) const;

  Seconds stale_after_;
  bool averaged_ = false;
  bool frozen_ = false;
  std::optional<Watts> value_{};
  Seconds changed_at_{};
  std::deque<Seconds> changes_{};         ///< the most recent ones
  std::optional<Watts> resolution_{};     ///< smallest step seen
  Watts reference_{};                     ///< modelled power when the reading last changed
  bool modelled_ = false;                 ///< false: the reading itself stands for it
  std::optional<Seconds> moved_since_{};  ///< the model has been away from the reference
};

}  // namespace thermoe
