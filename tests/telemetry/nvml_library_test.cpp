// SPDX-License-Identifier: Apache-2.0
// NvmlSource on libraries that are missing, wrong or old.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "fake_nvml/scripted_nvml.h"
#include "telemetry/nvml_source.h"

namespace thermoe {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(NvmlLibrary, ShutsNvmlDownAtItsEnd) {
  const ScriptedNvml nvml;
  NvmlSource({.library = nvml.library()}).read(Seconds(0));
  EXPECT_EQ(nvml.calls("nvmlShutdown"), nvml.calls("nvmlInit_v2"));
  EXPECT_EQ(nvml.calls("nvmlInit_v2"), 1U);
}

TEST(NvmlLibrary, AMissingLibraryIsNamedWithTheLoadersWordsAndTheRemedy) {
  NvmlSource source({.library = "libnvidia-ml-that-is-not-there.so.1"});
  try {
    source.read(Seconds(0));
    FAIL() << "read() must throw";
  } catch (const TelemetryError& e) {
    EXPECT_THAT(e.what(), AllOf(HasSubstr("libnvidia-ml-that-is-not-there.so.1"),
                                HasSubstr("cannot open shared object file"),
                                HasSubstr("install the NVIDIA driver")));
  }
}

TEST(NvmlLibrary, TheRemedyNamesTheSettingOfWhoeverAsked) {
  const auto remedy = [](const NvmlOptions& options) {
    try {
      static_cast<void>(NvmlSource(options).read(Seconds(0)));
    } catch (const TelemetryError& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  for (const char* library : {"libnvidia-ml-that-is-not-there.so.1", "libm.so.6"}) {
    EXPECT_THAT(remedy({.library = library}), EndsWith("with --nvml-library"));
    EXPECT_THAT(remedy({.library = library, .library_setting = "telemetry.library"}),
                EndsWith("with telemetry.library"));
  }
}

TEST(NvmlLibrary, ALibraryThatIsNoNvmlIsRefusedNamingWhatItLacks) {
  NvmlSource source({.library = "libm.so.6"});
  try {
    source.read(Seconds(0));
    FAIL() << "read() must throw";
  } catch (const TelemetryError& e) {
    EXPECT_THAT(e.what(),
                AllOf(HasSubstr("libm.so.6 is no usable NVML"), HasSubstr("nvmlInit_v2")));
  }
}

TEST(NvmlLibrary, AnOldDriverLacksSomeReadingsAndNothingElse) {
  ScriptedNvml nvml("gpu.power_usage = 222\n", THERMOE_FAKE_NVML_OLD_LIBRARY);
  NvmlSource source({.library = nvml.library()});
  const Snapshot snapshot = source.read(Seconds(0));
  const GpuReading& gpu = snapshot.gpus.at(0);
  EXPECT_EQ(gpu.power_average.value, Watts(222.0));
  EXPECT_EQ(gpu.power_instant.value, std::nullopt);
  EXPECT_EQ(gpu.memory_temperature.value, std::nullopt);
  EXPECT_EQ(gpu.energy.value, std::nullopt);
  EXPECT_EQ(gpu.temperature.value, Celsius(50.0));
  EXPECT_EQ(gpu.throttle_reasons.value, 0U);  // by the function's older name
  EXPECT_THAT(snapshot.problems, IsEmpty());
}

TEST(NvmlLibrary, PowerUsageOfAnOldChipIsInstantNotAverage) {
  ScriptedNvml nvml("gpu.power_usage = 222\ngpu.compute_capability = 8.0\n",
                    THERMOE_FAKE_NVML_OLD_LIBRARY);
  NvmlSource source({.library = nvml.library()});
  const GpuReading gpu = source.read(Seconds(0)).gpus.at(0);
  EXPECT_EQ(gpu.power_average.value, std::nullopt);
  EXPECT_EQ(gpu.power_instant.value, Watts(222.0));
}

}  // namespace
}  // namespace thermoe
