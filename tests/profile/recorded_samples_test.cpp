// SPDX-License-Identifier: Apache-2.0
#include "profile/recorded_samples.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "export_builder.h"
#include "profile/parse_profiler_output.h"
#include "scratch_file.h"

namespace thermoe {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

constexpr std::int64_t kMs = 1'000'000;
constexpr std::int64_t kStart = 1'764'212'345'000 * kMs;  // 2025-11-27T02:59:05Z

const std::string kHeader =
    "t_s,utc,simulated,gpu,name,uuid,power_w,power_instant_w,temp_gpu_c,host,host_power_w\n";

/// From 0.4 s before the export's time 0: 300 W and a watt more each ms.
std::string recording(const std::string& gpu = "0,NVIDIA H100,GPU-5c9a") {
  std::string text = kHeader;
  for (int i = 0; i < 10; ++i) {
    text += fmt::format("{0},2025-11-27T02:59:0{1}.{2:03}Z,0,{3},250,{4},61,,\n", 7.0 + 0.1 * i,
                        i < 4 ? 4 : 5, (600 + 100 * i) % 1000, gpu, 300 + 100 * i);
    text += fmt::format("{0},2025-11-27T02:59:0{1}.{2:03}Z,0,,,,,,,RAPL package-0,80\n",
                        7.0 + 0.1 * i, i < 4 ? 4 : 5, (600 + 100 * i) % 1000);
  }
  return text;
}

class RecordedSamples : public ::testing::Test {
 protected:
  /// A kernel from 100 to 200 ms after the export's time 0.
  ExportBuilder& add_export(ExportBuilder& builder) const {
    return builder.with_all()
        .kernel({.start = 100 * kMs, .end = 200 * kMs})
        .exec(fmt::format("CREATE TABLE TARGET_INFO_SESSION_START_TIME (utcEpochNs INTEGER);"
                          "INSERT INTO TARGET_INFO_SESSION_START_TIME VALUES ({})",
                          kStart));
  }
  ParsedProfile parse(const std::string& csv) const {
    return parse_profiler_output(export_, {.samples = folder_.write("samples.csv", csv)});
  }

  ScratchFolder folder_{};
  std::string export_ = folder_ / "export.sqlite";
};

TEST_F(RecordedSamples, AGpuThatIsNoIndexIsRefused) {
  for (const std::string gpu : {"1e300", "-1", "0.5", "65536"}) {
    const std::string path = folder_.write(
        "samples.csv", "t_s,utc,gpu,power_w\n0,2025-11-27T02:59:05Z," + gpu + ",250\n");
    try {
      read_recorded_samples(path, kStart);
      ADD_FAILURE() << gpu << " was taken";
    } catch (const FormatError& error) {
      EXPECT_THAT(error.what(), HasSubstr("line 2, gpu: is " + gpu + ", must be")) << gpu;
    }
  }
}

TEST_F(RecordedSamples, AProfileOfNoTimeOfDayIsRefused) {
  const std::string path = folder_.write("samples.csv", recording());
  for (const std::int64_t zero : {INT64_MIN, std::int64_t{-1}, INT64_MAX}) {
    try {
      read_recorded_samples(path, zero);
      ADD_FAILURE() << zero << " was taken";
    } catch (const FormatError& error) {
      EXPECT_THAT(error.what(), HasSubstr("its time 0 is")) << zero;
    }
  }
}

TEST_F(RecordedSamples, AreMergedByTheTimeOfDay) {
  {
    ExportBuilder builder(export_);
    add_export(builder);
  }
  const ParsedProfile profile = parse(recording());
  const KernelRecord& kernel = profile.kernels.front();
  // 500 ms after the first sample 800 W, 600 ms after it 900 W.
  EXPECT_NEAR(kernel.mean_power->value, 850.0, 1e-6);
  EXPECT_NEAR(kernel.energy->value, 85.0, 1e-6);
  EXPECT_NEAR(kernel.mean_temperature->value, 61.0, 1e-9);
}

TEST_F(RecordedSamples, OfAnotherTimeAreSaidNotToCoverAnything) {
  {
    ExportBuilder builder(export_);
    add_export(builder).exec("UPDATE TARGET_INFO_SESSION_START_TIME SET utcEpochNs = 5");
  }
  const ParsedProfile profile = parse(recording());
  EXPECT_EQ(profile.kernels.front().energy, std::nullopt);
  EXPECT_THAT(profile.missing, Contains(HasSubstr("surround a kernel")));
}

TEST_F(RecordedSamples, OfOneOfSeveralGpusGoToItByItsUuid) {
  {
    ExportBuilder builder(export_);
    add_export(builder).exec(
        "DROP TABLE TARGET_INFO_GPU; CREATE TABLE TARGET_INFO_GPU (id INTEGER, name TEXT, uuid "
        "TEXT); INSERT INTO TARGET_INFO_GPU VALUES (0, 'a', '1111'), (1, 'b', '5c9a');"
        "CREATE TABLE TARGET_INFO_CUDA_DEVICE (gpuId INTEGER, cudaId INTEGER, pid INTEGER);"
        "INSERT INTO TARGET_INFO_CUDA_DEVICE VALUES (1, 0, 7)");
  }
  EXPECT_NEAR(parse(recording()).kernels.front().mean_power->value, 850.0, 1e-6);
  const ParsedProfile other = parse(recording("0,NVIDIA H100,GPU-2222"));
  EXPECT_EQ(other.kernels.front().mean_power, std::nullopt);
  EXPECT_THAT(other.missing, Contains(HasSubstr("which GPU is 0 of the recording")));
}

TEST_F(RecordedSamples, OfATraceAreCountedFromItsBase) {
  const std::string trace = folder_.write(
      "trace.json",
      fmt::format(
          "{{\"baseTimeNanoseconds\": {}, \"deviceProperties\": [{{\"name\": \"H100\"}}], "
          "\"traceEvents\": [{{\"ph\": \"X\", \"cat\": \"kernel\", \"name\": \"k\", \"ts\": "
          "100000.0, \"dur\": 100000, \"args\": {{\"device\": 0}}}}]}}",
          kStart));
  const ParsedProfile profile =
      parse_profiler_output(trace, {.samples = folder_.write("s.csv", recording())});
  EXPECT_NEAR(profile.kernels.front().mean_power->value, 850.0, 1e-6);
}

TEST_F(RecordedSamples, OfSimulatedHardwareAreRefused) {
  {
    ExportBuilder builder(export_);
    add_export(builder);
  }
  std::string text = recording();
  text.replace(text.find("Z,0,"), 4, "Z,1,");
  try {
    parse(text);
    FAIL() << "took simulated watts for real ones";
  } catch (const FormatError& error) {
    EXPECT_THAT(error.what(), HasSubstr("samples.csv: line 2, simulated"));
  }
}

TEST_F(RecordedSamples, WithoutATimeOfDayAreRefused) {
  EXPECT_THROW(read_recorded_samples(folder_.write("a.csv", "t_s,power_w\n1,2\n"), 0), FormatError);
  EXPECT_THROW(read_recorded_samples(folder_.write("b.csv", kHeader + "1,soon,0,0,,,1,1,1,,\n"), 0),
               FormatError);
}

TEST(UtcNs, IsReadToTheNanosecond) {
  EXPECT_EQ(utc_ns("1970-01-01T00:00:01Z"), 1'000'000'000);
  EXPECT_EQ(utc_ns("2025-11-27T02:59:05.000Z"), kStart);
  EXPECT_EQ(utc_ns("2025-11-27T02:59:05.25Z"), kStart + 250 * kMs);
  for (const char* wrong : {"", "2025-11-27", "2025-13-27T02:59:05Z", "2025-11-27T02:59:05.Z",
                            "2025-11-27T02:59:05+01:00", "2025-1a-27T02:59:05Z"}) {
    EXPECT_EQ(utc_ns(wrong), std::nullopt) << wrong;
  }
}

}  // namespace
}  // namespace thermoe
