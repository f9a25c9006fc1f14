// SPDX-License-Identifier: Apache-2.0
// The machine's own NVML and GPUs: plausible values, no more can be known. Label gpu.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>
#include <vector>

#include "core/clock.h"
#include "telemetry/nvml_probe.h"
#include "telemetry/nvml_source.h"

namespace thermoe {
namespace {

/// Skips where there is no GPU to ask.
class NvmlGpuTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!probe_.error.empty()) GTEST_SKIP() << probe_.error;
  }

  Snapshot read_after(Seconds pause) {
    std::this_thread::sleep_for(std::chrono::duration<double>(pause.value));
    return source_.read(clock_.now());
  }

  const NvmlProbe probe_ = probe_nvml({});
  SteadyClock clock_;
  NvmlSource source_{{}};
};

template <class T>
void expect_within(const Reading<T>& reading, double low, double high, const char* what) {
  ASSERT_TRUE(reading.value) << what << " is absent";
  EXPECT_GE(reading.value->value, low) << what;
  EXPECT_LE(reading.value->value, high) << what;
}

TEST_F(NvmlGpuTest, TheProbeNamesDriverAndGpus) {
  EXPECT_FALSE(probe_.driver_version.empty());
  EXPECT_FALSE(probe_.library_path.empty());
  ASSERT_FALSE(probe_.gpus.empty());
  std::printf("driver %s, NVML %s, CUDA %d\n", probe_.driver_version.c_str(),
              probe_.nvml_version.c_str(), probe_.cuda_driver_version.value_or(0));
  for (const std::string& missing : probe_.missing) std::printf("  lacks %s\n", missing.c_str());
  for (const NvmlGpuProbe& gpu : probe_.gpus) {
    EXPECT_EQ(gpu.error, "");
    EXPECT_FALSE(gpu.name.empty());
    EXPECT_FALSE(gpu.uuid.empty());
    EXPECT_GT(gpu.memory_total_bytes.value_or(0), 1ULL << 30U);
    EXPECT_GE(gpu.compute_capability_major.value_or(0), 3);
    std::printf("GPU %u: %s, %s, limit %.0f W (%.0f to %.0f W)\n", gpu.index, gpu.name.c_str(),
                gpu.pci_bus_id.c_str(), gpu.power_limit.value_or(Watts()).value,
                gpu.power_limit_min.value_or(Watts()).value,
                gpu.power_limit_max.value_or(Watts()).value);
    for (const NvmlReadingSupport& reading : gpu.readings) {
      std::printf("  %-18s %s\n", reading.reading.c_str(),
                  reading.available ? "yes" : reading.reason.c_str());
    }
  }
}

TEST_F(NvmlGpuTest, ReadingsArePlausible) {
  const Snapshot snapshot = read_after(Seconds(0.0));
  ASSERT_FALSE(snapshot.gpus.empty());
  for (const GpuReading& gpu : snapshot.gpus) {
    EXPECT_FALSE(gpu.name.empty());
    expect_within(gpu.temperature, 10.0, 110.0, "temperature [C]");
    expect_within(gpu.power_limit, 20.0, 3000.0, "power limit [W]");
    const double limit = gpu.power_limit.value.value_or(Watts(3000.0)).value;
    expect_within(gpu.power_average, 5.0, 1.2 * limit, "average power [W]");
    // Instant power passes the limit for moments: the driver holds the average to it.
    if (gpu.power_instant.value) expect_within(gpu.power_instant, 5.0, 1.6 * limit, "instant [W]");
    expect_within(gpu.sm_clock, 100.0, 5000.0, "SM clock [MHz]");
    expect_within(gpu.memory_clock, 100.0, 20000.0, "memory clock [MHz]");
    ASSERT_TRUE(gpu.gpu_utilisation.value);
    EXPECT_LE(*gpu.gpu_utilisation.value, 1.0);
  }
}

TEST_F(NvmlGpuTest, TheEnergyCounterGrowsByAboutTheMeanPower) {
  source_.request_energy();
  const Snapshot before = read_after(Seconds(0.0));
  const Seconds began = clock_.now();
  source_.request_energy();
  const Snapshot after = read_after(Seconds(1.5));
  const Seconds passed = clock_.now() - began;
  for (std::size_t g = 0; g < after.gpus.size(); ++g) {
    if (!before.gpus[g].energy.value) GTEST_SKIP() << "this chip has no energy counter";
    ASSERT_TRUE(after.gpus[g].energy.value);
    const Joules used = *after.gpus[g].energy.value - *before.gpus[g].energy.value;
    std::printf("GPU %zu: %.1f W by the counter, %.1f W by the 1 s average\n", g,
                (used / passed).value, after.gpus[g].power_average.value.value_or(Watts()).value);
    EXPECT_GT(used, Joules(0.0));
    EXPECT_LT((used / passed).value, 1500.0);
  }
}

TEST_F(NvmlGpuTest, PrintsTheCostOfAPoll) {
  std::vector<double> milliseconds;
  read_after(Seconds(0.0));
  for (int i = 0; i < 20; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    const Seconds began = clock_.now();
    const Snapshot snapshot = source_.read(clock_.now());
    milliseconds.push_back((clock_.now() - began).value * 1e3);
    EXPECT_FALSE(snapshot.gpus.empty());
  }
  std::ranges::sort(milliseconds);
  std::printf("a poll of %zu GPUs takes %.2f ms (median of 20; %.2f to %.2f ms)\n",
              probe_.gpus.size(), milliseconds[10], milliseconds.front(), milliseconds.back());
}

}  // namespace
}  // namespace thermoe
