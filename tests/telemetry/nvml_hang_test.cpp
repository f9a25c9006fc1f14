// SPDX-License-Identifier: Apache-2.0
// NVML that does not answer, seen through the monitor's own thread.
#include <gtest/gtest.h>

#include <memory>

#include "bounded_wait.h"
#include "fake_nvml/scripted_nvml.h"
#include "telemetry/gpu_system_monitor.h"
#include "telemetry/nvml_source.h"

namespace thermoe {
namespace {

constexpr const char* kForEver = "hang.nvmlDeviceGetFieldValues = 1e9\n";

/// A running monitor on the fake NVML.
std::unique_ptr<GpuSystemMonitor> start_monitor(const ScriptedNvml& nvml, const Clock& clock) {
  auto monitor = std::make_unique<GpuSystemMonitor>(
      std::make_unique<NvmlSource>(NvmlOptions{.library = nvml.library()}), clock,
      MonitorOptions{.period = Seconds(0.001), .patience = Seconds(0.02)});
  monitor->start();
  return monitor;
}

TEST(NvmlHang, ReadersGoOnWithGrowingAgesAndTheMonitorRecovers) {
  ScriptedNvml nvml("gpu.power_instant = 100\n");
  const SteadyClock clock;
  const auto monitor = start_monitor(nvml, clock);
  ASSERT_TRUE(comes_true([&] { return !monitor->latest().gpus.empty(); }));
  nvml.write(kForEver);
  ASSERT_TRUE(comes_true([&] { return monitor->poll_under_way() > Seconds(0.05); }));
  const Reading<Watts> power = monitor->latest().gpus.at(0).power_instant;
  EXPECT_EQ(power.value, Watts(100.0));
  EXPECT_GE(power.age(clock.now()), Seconds(0.05));
  EXPECT_EQ(monitor->error(), std::nullopt);
  nvml.write("gpu.power_instant = 200\n");
  ASSERT_TRUE(
      comes_true([&] { return monitor->latest().gpus.at(0).power_instant.value == Watts(200.0); }));
}

TEST(NvmlHang, TheMonitorEndsThoughNvmlNeverAnswers) {
  ScriptedNvml nvml(kForEver);
  {
    const SteadyClock clock;
    const auto monitor = start_monitor(nvml, clock);
    ASSERT_TRUE(comes_true([&] { return nvml.calls("nvmlDeviceGetFieldValues") > 0; }));
  }
  EXPECT_EQ(nvml.calls("nvmlShutdown"), 0U);  // left behind inside NVML
  nvml.write("");
  ASSERT_TRUE(comes_true(
      [&] { return nvml.calls("nvmlShutdown") == 1; }));  // it did return, and cleaned up
}

TEST(NvmlHang, AnInitialisationThatHangsIsAPollUnderWay) {
  ScriptedNvml nvml("hang.nvmlInit_v2 = 1e9\n");
  const SteadyClock clock;
  const auto monitor = start_monitor(nvml, clock);
  ASSERT_TRUE(comes_true([&] { return monitor->poll_under_way() > Seconds(0.02); }));
  EXPECT_TRUE(monitor->latest().gpus.empty());
  nvml.write("");
  ASSERT_TRUE(comes_true([&] { return !monitor->latest().gpus.empty(); }));
}

}  // namespace
}  // namespace thermoe
