// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "core/clock.h"
#include "machine/disturbance.h"
#include "machine/machine.h"
#include "machine/simulated/simulated_gpu.h"
#include "machine/simulated/step_charge.h"
#include "machine/simulated/step_noise.h"

namespace thermoe {

/// Of a machine around such a GPU.
MachineDescription description_of(const SimulatedGpuConfig& gpu);

struct SimulatedMachineOptions {
  SimulatedGpuConfig gpu{};
  PlantCharge charge;             ///< whose costs must outlive the machine
  double step_noise = 0.0;        ///< [0, 1], relative deviation of a tick's step time
  int decode_steps_per_tick = 1;  ///< that it asks for; their mean stands for all steps
  std::vector<Disturbance> disturbances{};
};

/// Real routing decisions in; time, joules and heat out, on virtual time. Step noise is drawn with
/// the GPU's seed.
class SimulatedMachine final : public Machine {
 public:
  explicit SimulatedMachine(SimulatedMachineOptions options);

  const Clock& clock() const override { return clock_; }
  std::unique_ptr<Source> open_sensors() override;
  /// Ticks are whole nanoseconds: their length does not carry the rounding of their ends.
  TickReport run_tick(Seconds until, Seconds period, const NextStep& next) override;

 private:
  Lookup mean_charge(const NextStep& next) const;

  SimulatedMachineOptions options_;
  VirtualClock clock_{};
  SimulatedGpu gpu_;
  StepNoise noise_;
};

}  // namespace thermoe
