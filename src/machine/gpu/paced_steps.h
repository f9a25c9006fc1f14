// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <thread>

#include "core/clock.h"
#include "core/router_spec.h"
#include "core/units.h"
#include "machine/gpu/step_load.h"

namespace thermoe {

/// The steps of some stretch of time.
struct StepTally {
  std::uint64_t steps = 0;      ///< that ended in it
  Seconds busy{};               ///< sum of their times on the device
  Seconds from{}, to{};         ///< start of the first, end of the last
  Seconds spacing{};            ///< sum of the times from the start before to each one's start
  std::uint64_t spaced = 0;     ///< that had a start before: all but the first after a pause
  std::uint64_t late = 0;       ///< began more than a tenth of the period after their time
  std::uint64_t repeated = 0;   ///< ran what the step before had run: nothing newer was staged
  std::uint64_t compared = 0;   ///< whose picks were compared with the host's
  std::uint64_t near_ties = 0;  ///< picks that differ where the contract allows it
};

/// The data plane of a real machine: a thread that runs a step each period and waits for nobody. A
/// step begins a period after the one before was due; one that could not, as that had not ended, at
/// once; a backlog of more than a period is dropped. It runs what was staged last, again and again
/// until there is something newer. Every member is for one other thread.
class PacedSteps {
 public:
  /// Begins with the first `stage`. All three must outlive it.
  PacedSteps(StepLoad& load, const RouterSpec& router, const Clock& clock);
  /// Waits for the step under way.
  ~PacedSteps();

  /// Runs from the next step on. The first step of each is compared with the host's own routing of
  /// it (machine/gpu/route_check.h).
  void stage(StagedStep step);
  /// 0: the next step begins when one ends.
  void set_period(Seconds period);
  /// No step begins until the next `stage`; returns when the last has ended.
  void pause();
  /// The steps that ended since the last call. Throws what ended the thread: a device that failed,
  /// a step that host and device routed differently.
  StepTally take_tally();

 private:
  struct State;
  const std::unique_ptr<State> state_;
  std::jthread thread_;  // last: ended before anything else goes
};

}  // namespace thermoe
