// SPDX-License-Identifier: Apache-2.0
#include "machine/simulated/simulated_machine.h"

#include <cmath>
#include <utility>

#include "core/errors.h"
#include "machine/simulated/simulated_source.h"

namespace thermoe {

MachineDescription description_of(const SimulatedGpuConfig& gpu) {
  return {.device = gpu.name, .simulated = true};
}

SimulatedMachine::SimulatedMachine(SimulatedMachineOptions options)
    : options_(std::move(options)),
      gpu_(options_.gpu),
      noise_(options_.step_noise, options_.gpu.seed) {
  THERMOE_EXPECT(options_.decode_steps_per_tick >= 1, "decode steps a tick {} must be at least 1",
                 options_.decode_steps_per_tick);
}

std::unique_ptr<Source> SimulatedMachine::open_sensors() {
  return open_simulated_sensors(gpu_, options_.disturbances);
}

Lookup SimulatedMachine::mean_charge(const NextStep& next) const {
  Lookup mean;
  const int steps = options_.decode_steps_per_tick;
  for (int i = 0; i < steps; ++i) {
    const StepLoads step = next(std::nullopt);
    const Lookup charge = step_charge(options_.charge, step.stats, step.plan);
    mean.cost += (1.0 / steps) * charge.cost;
    mean.basis = weaker(mean.basis, charge.basis);
  }
  return mean;
}

TickReport SimulatedMachine::run_tick(Seconds until, Seconds period, const NextStep& next) {
  const Seconds begin = clock_.now();
  const Seconds tick(std::round(1e9 * (until - begin).value) / 1e9);
  THERMOE_EXPECT(tick > Seconds(0), "a tick until {} s at {} s", until.value, begin.value);
  const Lookup step = mean_charge(next);
  TickReport report = gpu_.advance(tick,
                                   {.step_time = noise_.drawn_stretch() * step.cost.latency,
                                    .step_energy = step.cost.energy,
                                    .period = period},
                                   disturbance_at(options_.disturbances, begin));
  clock_.advance_to(until);
  report.basis = step.basis;
  return report;
}

}  // namespace thermoe
