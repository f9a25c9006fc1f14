// SPDX-License-Identifier: Apache-2.0
#include "machine/simulated/simulated_source.h"

#include <gtest/gtest.h>

#include <memory>

#include "telemetry/gpu_system_monitor.h"

namespace thermoe {
namespace {

TEST(SimulatedSource, IsWatchedWhileAnotherThreadAdvancesTheGpu) {
  SimulatedGpu gpu(SimulatedGpuConfig{});
  VirtualClock clock;
  GpuSystemMonitor monitor(std::make_unique<SimulatedSource>(gpu), clock,
                           {.period = Seconds(0.0005)});
  monitor.start();
  for (int i = 0; i < 200; ++i) {
    gpu.advance(Seconds(0.1), {.step_time = Seconds(0.01), .step_energy = Joules(4.0)});
    clock.advance_to(gpu.now());
  }
  monitor.poll();
  EXPECT_NEAR(monitor.latest().gpus.at(0).power_instant.value->value, 530.0, 1e-3);
}

}  // namespace
}  // namespace thermoe
