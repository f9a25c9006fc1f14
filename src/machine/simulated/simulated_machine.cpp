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
      random_(options_.gpu.seed + 0x5deece66dULL) {  // not the sensors' sequence
  THERMOE_EXPECT(options_.step_noise >= 0.0 && options_.step_noise <= 1.0,
                 "step noise {} must lie in [0, 1]", options_.step_noise);
  THERMOE_EXPECT(options_.decode_steps_per_tick >= 1, "decode steps a tick {} must be at least 1",
                 options_.decode_steps_per_tick);
}

std::unique_ptr<Source> SimulatedMachine::open_sensors() {
  auto source = std::make_unique<SimulatedSource>(gpu_);
  std::vector<SensorFault> faults = sensor_faults(options_.disturbances);
  if (faults.empty()) return source;
  return std::make_unique<FaultySource>(std::move(source), std::move(faults));
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

/// Log-normal of mean 1: never negative, and the mean step is the charged one.
double SimulatedMachine::drawn_stretch() {
  const double noise = options_.step_noise;
  return noise > 0.0 ? std::exp(noise * normal_(random_) - 0.5 * noise * noise) : 1.0;
}

TickReport SimulatedMachine::run_tick(Seconds until, Seconds period, const NextStep& next) {
  const Seconds begin = clock_.now();
  const Seconds tick(std::round(1e9 * (until - begin).value) / 1e9);
  THERMOE_EXPECT(tick > Seconds(0), "a tick until {} s at {} s", until.value, begin.value);
  const Lookup step = mean_charge(next);
  TickReport report = gpu_.advance(tick,
                                   {.step_time = drawn_stretch() * step.cost.latency,
                                    .step_energy = step.cost.energy,
                                    .period = period},
                                   disturbance_at(options_.disturbances, begin));
  clock_.advance_to(until);
  report.basis = step.basis;
  return report;
}

}  // namespace thermoe
