// SPDX-License-Identifier: Apache-2.0
#include "telemetry/nvml_probe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "fake_nvml/scripted_nvml.h"

namespace thermoe {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const NvmlReadingSupport& support(const NvmlGpuProbe& gpu, const std::string& reading) {
  const auto found = std::ranges::find(gpu.readings, reading, &NvmlReadingSupport::reading);
  if (found == gpu.readings.end()) throw std::out_of_range(reading);
  return *found;
}

TEST(NvmlProbe, TellsLibraryVersionsAndGpus) {
  const ScriptedNvml nvml("gpus = 2\ngpu1.power_limit = 500\n");
  const NvmlProbe probe = probe_nvml({.library = nvml.library()});
  EXPECT_EQ(probe.error, "");
  EXPECT_EQ(probe.library, nvml.library());
  EXPECT_EQ(probe.library_path, nvml.library());
  EXPECT_EQ(probe.driver_version, "580.65.06");
  EXPECT_EQ(probe.nvml_version, "13.580.65.06");
  EXPECT_EQ(probe.cuda_driver_version, 13000);
  EXPECT_THAT(probe.missing, IsEmpty());
  ASSERT_EQ(probe.gpus.size(), 2U);
  const NvmlGpuProbe& gpu = probe.gpus[1];
  EXPECT_EQ(gpu.index, 1U);
  EXPECT_EQ(gpu.error, "");
  EXPECT_EQ(gpu.name, "Fake H100");
  EXPECT_EQ(gpu.uuid, "GPU-fake-1");
  EXPECT_EQ(gpu.pci_bus_id, "00000000:1C:00.0");
  EXPECT_EQ(gpu.memory_total_bytes, 81559ULL << 20U);
  EXPECT_EQ(gpu.compute_capability_major, 9);
  EXPECT_EQ(gpu.compute_capability_minor, 0);
  EXPECT_EQ(gpu.power_limit, Watts(500.0));
  EXPECT_EQ(gpu.power_limit_min, Watts(200.0));
  EXPECT_EQ(gpu.power_limit_max, Watts(700.0));
  for (const NvmlReadingSupport& reading : gpu.readings) {
    EXPECT_TRUE(reading.available) << reading.reading << ": " << reading.reason;
  }
}

TEST(NvmlProbe, SaysWhyAReadingCannotBeHad) {
  const ScriptedNvml nvml("gpu.memory_temperature = not_supported\ngpu.energy = no_permission\n");
  const NvmlProbe probe = probe_nvml({.library = nvml.library()});
  const NvmlGpuProbe& gpu = probe.gpus.at(0);
  EXPECT_FALSE(support(gpu, "memory_temperature").available);
  EXPECT_EQ(support(gpu, "memory_temperature").reason, "Not Supported");
  EXPECT_EQ(support(gpu, "energy").reason, "Insufficient Permissions");
  EXPECT_TRUE(support(gpu, "power_instant").available);
}

TEST(NvmlProbe, AValueThatCannotBeIsNoReading) {
  const ScriptedNvml nvml("gpu.power_average = 4294967\n");
  const NvmlProbe probe = probe_nvml({.library = nvml.library()});
  EXPECT_FALSE(support(probe.gpus.at(0), "power_average").available);
  EXPECT_EQ(support(probe.gpus.at(0), "power_average").reason, "no usable value");
}

TEST(NvmlProbe, NamesTheFunctionsThatAnOldDriverLacks) {
  const ScriptedNvml nvml("", THERMOE_FAKE_NVML_OLD_LIBRARY);
  const NvmlProbe probe = probe_nvml({.library = nvml.library()});
  EXPECT_EQ(probe.error, "");
  EXPECT_THAT(probe.missing, Contains("nvmlDeviceGetFieldValues"));
  EXPECT_FALSE(support(probe.gpus.at(0), "power_instant").available);
  EXPECT_EQ(support(probe.gpus.at(0), "energy").reason, "Function Not Found");
  EXPECT_TRUE(support(probe.gpus.at(0), "power_average").available);
}

TEST(NvmlProbe, OneLostGpuHidesNoOther) {
  const ScriptedNvml nvml("gpus = 2\ngpu0.state = lost\n");
  const NvmlProbe probe = probe_nvml({.library = nvml.library()});
  ASSERT_EQ(probe.gpus.size(), 2U);
  EXPECT_THAT(probe.gpus[0].error, HasSubstr("GPU is lost"));
  EXPECT_EQ(probe.gpus[1].error, "");
}

TEST(NvmlProbe, AMissingLibraryIsAnAnswerWithARemedy) {
  const NvmlProbe probe = probe_nvml({.library = "/nowhere/libnvidia-ml.so.1"});
  EXPECT_THAT(probe.error, HasSubstr("/nowhere/libnvidia-ml.so.1"));
  EXPECT_THAT(probe.remedy, HasSubstr("install the NVIDIA driver"));
  EXPECT_EQ(probe.library_path, "");
  EXPECT_THAT(probe.gpus, IsEmpty());
}

TEST(NvmlProbe, ADriverThatDoesNotStartIsAnAnswerToo) {
  const ScriptedNvml nvml("init = library_mismatch\n");
  const NvmlProbe probe = probe_nvml({.library = nvml.library()});
  EXPECT_EQ(probe.error, "NVML cannot be initialised: Driver/library version mismatch");
  EXPECT_THAT(probe.remedy, HasSubstr("reboot"));
  EXPECT_EQ(probe.library_path, nvml.library());
}

TEST(NvmlProbe, ADriverWithoutAGpuIsAnErrorWithItsVersionsKnown) {
  const ScriptedNvml nvml("gpus = 0\n");
  const NvmlProbe probe = probe_nvml({.library = nvml.library()});
  EXPECT_THAT(probe.error, HasSubstr("finds no GPU"));
  EXPECT_EQ(probe.driver_version, "580.65.06");
}

}  // namespace
}  // namespace thermoe
