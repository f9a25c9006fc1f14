// SPDX-License-Identifier: Apache-2.0
#include "telemetry/gpu_processes.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "fake_nvml/scripted_nvml.h"

namespace thermoe {
namespace {

TEST(GpuProcesses, AreThoseOfTheGpuWithNameAndMemory) {
  const ScriptedNvml nvml(
      "gpus = 2\ngpu0.processes = 1 other 5\n"
      "gpu1.processes = 4242 trainer 1024, 77 server -1\n");
  const auto found = find_gpu_processes(nvml.library(), "GPU-fake-1");
  ASSERT_TRUE(found.has_value());
  ASSERT_EQ(found->size(), 2U);
  EXPECT_EQ(found->at(0).pid, 4242U);
  EXPECT_EQ(found->at(0).name, "trainer");
  EXPECT_EQ(found->at(0).bytes, 1024ULL << 20U);
  EXPECT_EQ(found->at(1).name, "server");
  EXPECT_FALSE(found->at(1).bytes.has_value()) << "NVML does not know";
}

TEST(GpuProcesses, ThisOneIsNotForeign) {
  const ScriptedNvml nvml("gpu.processes = " + std::to_string(::getpid()) + " me 10\n");
  const auto found = find_gpu_processes(nvml.library(), "GPU-fake-0");
  ASSERT_TRUE(found.has_value());
  EXPECT_TRUE(found->empty());
}

TEST(GpuProcesses, AsManyAsThereAreAreListed) {
  std::string script = "gpu.processes = 1 a 1";
  for (int pid = 2; pid <= 100; ++pid) script += ", " + std::to_string(pid) + " a 1";
  const ScriptedNvml nvml(script + "\n");
  const auto found = find_gpu_processes(nvml.library(), "GPU-fake-0");
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->size(), 100U);
}

TEST(GpuProcesses, WhereNobodyTellsThereIsNoListRatherThanAnEmptyOne) {
  EXPECT_FALSE(find_gpu_processes("/nowhere/libnvidia-ml.so.1", "GPU-fake-0").has_value());
  {
    const ScriptedNvml old("", THERMOE_FAKE_NVML_OLD_LIBRARY);
    EXPECT_FALSE(find_gpu_processes(old.library(), "GPU-fake-0").has_value());
  }
  const ScriptedNvml nvml("gpu.processes = no_permission\n");
  EXPECT_FALSE(find_gpu_processes(nvml.library(), "GPU-fake-0").has_value());
  EXPECT_FALSE(find_gpu_processes(nvml.library(), "GPU-another").has_value());
}

}  // namespace
}  // namespace thermoe
