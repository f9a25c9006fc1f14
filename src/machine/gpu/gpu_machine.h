// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "core/router_spec.h"
#include "machine/disturbance.h"
#include "machine/gpu/step_load.h"
#include "machine/machine.h"
#include "machine/tenant/tenant.h"

namespace thermoe {

struct GpuMachineOptions {
  StepLoad& load;            ///< must outlive the machine; one machine at a time
  const RouterSpec& router;  ///< of the model: the host routes by it, to compare; likewise
  /// Sensors of the load's GPU and no other, whose energy counter is read no sooner than
  /// `energy_period` after the time before. Called for each reader: a source is one thread's.
  std::function<std::unique_ptr<Source>(Seconds energy_period)> open_source;
  int decode_steps_per_tick = 1;  ///< that it asks for, evenly over the tick
  std::vector<Disturbance> disturbances{};
  Tenant* tenant = nullptr;  ///< works while a background disturbance lasts; null: there is none
  /// Between two reads of the truth. The energy counter changes every 100 ms; when is known no
  /// better than this, which is the error of the length of a second in which watts are counted.
  Seconds truth_period{0.02};
};

/// A real GPU under the load that the decisions make, in real time. Steps run in a thread of their
/// own, which waits for neither decoder nor controller nor sensors (PacedSteps); the truth of a
/// tick is the difference of the board's energy counter, read in another thread by sensors that the
/// controller never sees. Its clock stands at 0 until the first tick.
class GpuMachine final : public Machine {
 public:
  /// Waits for the sensors' first answer, at most ten seconds, and throws Error where there is
  /// none. Throws UsageError for a disturbance that a real GPU cannot have: warmer air, or another
  /// tenant where there is none.
  explicit GpuMachine(GpuMachineOptions options);
  ~GpuMachine() override;

  const Clock& clock() const override;
  std::unique_ptr<Source> open_sensors() override;
  /// Decodes on the caller's thread while steps run. A tick that is over before all its steps were
  /// asked for ends with those it has: one at least, also where `until` is past already. What
  /// happened since the tick before is a part of the next one. Where no step ended the times are
  /// the last known. Throws Error where the device, its driver or its sensors are gone, naming
  /// which, or where CPU and GPU routed a step differently, naming layer and token.
  TickReport run_tick(Seconds until, Seconds period, const NextStep& next) override;

 private:
  struct Parts;
  const std::unique_ptr<Parts> parts_;
};

}  // namespace thermoe
