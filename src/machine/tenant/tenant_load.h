// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <thread>

#include "core/clock.h"
#include "core/units.h"
#include "machine/tenant/duty_cycle.h"
#include "machine/tenant/tenant_work.h"

namespace thermoe {

/// What a tenant did since it began, or since an earlier tally.
struct TenantTally {
  Seconds working{};  ///< time during which it was to work
  Seconds busy{};     ///< of that, the time that its bursts took on the device
  Seconds longest{};  ///< burst, since the start
  std::uint64_t bursts = 0;
  std::uint64_t late = 0;     ///< bursts that began more than a tenth of a period after their time
  std::uint64_t dropped = 0;  ///< bursts that were given up: the backlog was more than a period

  /// Share of the time that bursts filled; more than asked for where others were on the GPU.
  double achieved_duty() const { return working > Seconds(0) ? busy / working : 0.0; }
};
TenantTally operator-(TenantTally tally, const TenantTally& earlier);

struct TenantLoadOptions {
  double products_share = 0.5;  ///< of its time; copies take the rest
  Seconds warm_up{0.3};         ///< at full work before units are timed: clocks are up then
};

/// Another tenant's work on a GPU: bursts with a duty cycle, in a thread of its own, which sleeps
/// between them. What a unit takes is measured once, at the start: nobody else should be there.
class TenantLoad {
 public:
  /// `make` is called in the load's thread, where the work then stays: CUDA's current device is a
  /// thread's. Returns when units are timed, resting. Throws what `make` threw, and UsageError for
  /// a device too slow for bursts this short. `clock` must outlive it.
  TenantLoad(const std::function<std::unique_ptr<TenantWork>()>& make, const Clock& clock,
             const TenantLoadOptions& options);
  ~TenantLoad();  // ends with the burst under way

  /// From the next burst on, within milliseconds; 0 rests.
  void set_duty(double duty);
  /// So far. Throws what ended the thread.
  TenantTally tally() const;

 private:
  struct State;
  const std::unique_ptr<State> state_;
  std::jthread thread_;  // last: ended before anything else goes
};

}  // namespace thermoe
