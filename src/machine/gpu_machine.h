// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "core/router_spec.h"
#include "machine/disturbance.h"
#include "machine/machine.h"
#include "machine/step_load.h"
#include "machine/tenant.h"

namespace thermoe {

struct GpuMachineOptions {
  StepLoad& load;            ///< must outlive the machine; one machine at a time
  const RouterSpec& router;  ///< of the model: the host routes by it, to compare; likewise
  /// Sensors of the load's GPU and no other. Called for each reader: a source is one thread's.
  std::function<std::unique_ptr<Source>()> open_source;
  int decode_steps_per_tick = 1;  ///< that it asks for, evenly over the tick
  std::vector<Disturbance> disturbances{};
  Tenant* tenant = nullptr;  ///< works while a background disturbance lasts; null: none
};

/// A real GPU under the load that the decisions make, in real time. Steps run in a thread of their
/// own, which waits for neither decoder nor controller nor sensors (PacedSteps); the truth of a
/// tick is the difference of the board's energy counter, read in another thread by sensors that the
/// controller never sees. Its clock stands at 0 until the first tick.
class GpuMachine final : public Machine {
 public:
  explicit GpuMachine(GpuMachineOptions options);
  ~GpuMachine() override;

  const Clock& clock() const override;
  std::unique_ptr<Source> open_sensors() override;
  /// Decodes on the caller's thread while steps run. A tick that is over before all its steps were
  /// asked for ends with those it has. Throws Error where the device or its driver is gone, or
  /// where CPU and GPU routed a step differently: naming layer and token.
  TickReport run_tick(Seconds until, Seconds period, const NextStep& next) override;

 private:
  struct Parts;
  const std::unique_ptr<Parts> parts_;
};

}  // namespace thermoe
