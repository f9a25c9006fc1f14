// SPDX-License-Identifier: Apache-2.0
#include "profile/kineto_trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <random>

#include "core/errors.h"
#include "profile/parse_profiler_output.h"
#include "profile/trace_event.h"
#include "scratch_file.h"

namespace thermoe {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string trace(const std::string& events) {
  return "{\"schemaVersion\": 1, \"deviceProperties\": [{\"id\": 0, \"name\": \"NVIDIA H100\", "
         "\"totalGlobalMem\": 85017493504}], \"traceEvents\": [" +
         events + "], \"traceName\": \"t.json\"}";
}
std::string host(const std::string& category, const std::string& name, const std::string& ts,
                 const std::string& dur, const std::string& more = "") {
  return fmt::format(
      "{{\"ph\": \"X\", \"cat\": \"{}\", \"name\": \"{}\", \"pid\": 77, \"tid\": 78, "
      "\"ts\": {}, \"dur\": {}, \"args\": {{\"External id\": 5{}}}}}",
      category, name, ts, dur, more);
}
std::string launch(int correlation, const std::string& ts) {
  return host("cuda_runtime", "cudaLaunchKernel", ts, "4.5",
              fmt::format(", \"correlation\": {}", correlation));
}
std::string kernel(int correlation, const std::string& dur, const std::string& name = "gemm") {
  return fmt::format(
      "{{\"args\": {{\"correlation\": {}, \"device\": 0, \"stream\": 7, \"registers per thread\": "
      "40, "
      "\"grid\": [132, 2, 1], \"block\": [128, 1, 1], \"est. achieved occupancy %\": 50.5}}, "
      "\"ph\": \"X\", \"cat\": \"kernel\", \"name\": \"{}\", \"pid\": 0, \"tid\": 7, \"ts\": 9000, "
      "\"dur\": {}}}",
      correlation, name, dur);
}
const std::string kOneKernel =
    kernel(5, "12.345") + "," + host("cpu_op", "aten::mm", "90", "60") + "," + launch(5, "100.25");

class KinetoTrace : public ::testing::Test {
 protected:
  ParsedProfile parse(const std::string& text, const ParseOptions& options = {}) const {
    return parse_profiler_output(folder_.write("trace.json", text), options);
  }
  std::string refusal(const std::string& text) const {
    try {
      parse(text);
    } catch (const FormatError& error) {
      return error.what();
    }
    return "taken";
  }
  std::string pack(const std::string& text) const {
    const std::string path = folder_ / "trace.json.gz";
    gzFile file = ::gzopen(path.c_str(), "wb");
    ::gzwrite(file, text.data(), static_cast<unsigned>(text.size()));
    ::gzclose(file);
    return path;
  }

  ScratchFolder folder_{};
};

TEST_F(KinetoTrace, AKernelBelongsToTheInnermostAnnotationAroundItsLaunch) {
  const ParsedProfile profile =
      parse(trace(host("user_annotation", "ProfilerStep#3", "99", "40") + "," +
                  host("user_annotation", "layer", "0", "500") + "," +
                  host("user_annotation", "fc1", "95", "20") + "," + kOneKernel));
  ASSERT_EQ(profile.kernels.size(), 1U);
  const KernelRecord& record = profile.kernels.front();
  EXPECT_EQ(record.name, "gemm");
  EXPECT_EQ(record.op, "fc1");
  EXPECT_EQ(record.total_ns, 12345);
  EXPECT_EQ(record.grid, (Extent{132, 2, 1}));
  EXPECT_EQ(record.block, (Extent{128, 1, 1}));
  EXPECT_EQ(record.registers, 40);
  EXPECT_EQ(profile.tool, "kineto");
  EXPECT_THAT(profile.devices, ElementsAre("NVIDIA H100"));
  EXPECT_EQ(profile.orphan_kernels, 0);
}

TEST_F(KinetoTrace, WithoutAnnotationsOperatorsNameOps) {
  const ParsedProfile profile = parse(trace(kOneKernel));
  EXPECT_EQ(profile.kernels.front().op, "aten::mm");
  EXPECT_THAT(profile.missing, Contains("user_annotation"));
}

TEST_F(KinetoTrace, TheOperatorsCanBeAskedFor) {
  const std::string text = trace(host("user_annotation", "fc1", "95", "20") + "," + kOneKernel);
  EXPECT_EQ(parse(text, {.domain = "cpu_op"}).kernels.front().op, "aten::mm");
  EXPECT_THROW(parse(text, {.domain = "cub"}), FormatError);
}

TEST_F(KinetoTrace, AKernelWithoutItsLaunchIsAnOrphan) {
  const ParsedProfile profile =
      parse(trace(kernel(1, "2") + "," + kernel(2, "3") + "," + launch(2, "10")));
  EXPECT_EQ(profile.orphan_kernels, 1);
  EXPECT_EQ(profile.kernels.front().count, 2);
}

TEST_F(KinetoTrace, APackedTraceReadsLikeAPlainOne) {
  const std::string text = trace(kOneKernel);
  const ParsedProfile profile = parse_profiler_output(pack(text));
  EXPECT_EQ(profile.kernels.front().op, "aten::mm");
  EXPECT_EQ(profile.kernels.front().total_ns, 12345);
}

TEST_F(KinetoTrace, EventsAloneAreATrace) {
  EXPECT_EQ(parse("[" + kOneKernel + "]").kernels.front().op, "aten::mm");
}

TEST_F(KinetoTrace, TimesOfTodaysClockKeepTheirNanoseconds) {
  EXPECT_EQ(trace_time("1764212345678901.234"), 1764212345678901234);
  EXPECT_EQ(trace_time("-1.5"), -1500);
  EXPECT_EQ(trace_time("2"), 2000);
  EXPECT_EQ(trace_time("1.5e3"), 1500000);
  EXPECT_EQ(trace_time("99999999999999999999"), std::nullopt);
  const std::string base = "1764212345678";
  const ParsedProfile profile =
      parse(trace(host("user_annotation", "late", base + "901.235", "20") + "," +
                  host("user_annotation", "fc1", base + "901.233", "20") + "," + kernel(5, "1") +
                  "," + launch(5, base + "901.234")));
  EXPECT_EQ(profile.kernels.front().op, "fc1");
}

TEST_F(KinetoTrace, ATraceThatIsCutOffIsRefused) {
  const std::string text = trace(kOneKernel);
  EXPECT_THAT(refusal(text.substr(0, text.size() / 2)), HasSubstr("is no whole JSON"));
  const std::string packed = bytes_of(pack(text));
  const std::string path = folder_.write("cut.json.gz", packed.substr(0, packed.size() - 12));
  try {
    parse_profiler_output(path);
    FAIL() << "took half a trace";
  } catch (const FormatError& error) {
    EXPECT_THAT(error.what(), HasSubstr("cannot be unpacked"));
  }
}

TEST_F(KinetoTrace, WhatIsNoTraceIsRefused) {
  EXPECT_THAT(refusal("{\"schema\": 1}"), HasSubstr("/traceEvents: is missing"));
  EXPECT_THAT(refusal(std::string(100, '[')), HasSubstr("nested deeper than 64"));
  EXPECT_THAT(refusal(trace(host("cpu_op", "a", "\"soon\"", "5"))),
              HasSubstr("/traceEvents/0/ts: is missing"));
  EXPECT_THAT(refusal(trace(host("cpu_op", "a", "5", "-5"))), HasSubstr("/traceEvents/0/dur"));
  EXPECT_THAT(refusal(trace(host("cpu_op", "a", "1e300", "5"))), HasSubstr("/traceEvents/0/ts"));
}

TEST_F(KinetoTrace, TracesOfSeveralProcessesAreNotMixedUp) {
  std::string other = launch(6, "10");
  other.replace(other.find("77"), 2, "79");
  EXPECT_THAT(refusal(trace(kOneKernel + "," + other)), HasSubstr("the calls of 2 processes"));
}

TEST_F(KinetoTrace, BytesThatFlippedAreRefusedOrReadButNeverCrash) {
  const std::string sound = trace(host("user_annotation", "fc1", "95", "20") + "," + kOneKernel);
  std::mt19937 random(12);
  int refused = 0;
  for (int i = 0; i < 500; ++i) {
    std::string text = sound;
    for (int flips = 0; flips < 3; ++flips) {
      text[random() % text.size()] = "\"[]{}0e-,:x."[random() % 12];
    }
    refused += refusal(text) == "taken" ? 0 : 1;
  }
  EXPECT_GT(refused, 100);
}

TEST_F(KinetoTrace, ASmallFileOfAnEndlessValueIsRefused) {
  const std::string path =
      pack("{\"traceEvents\": [], \"bomb\": \"" + std::string(std::size_t{80} << 20, 'x') + "\"}");
  EXPECT_LT(std::filesystem::file_size(path), 200000U);
  try {
    parse_profiler_output(path);
    FAIL() << "took it";
  } catch (const FormatError& error) {
    EXPECT_THAT(error.what(), HasSubstr("more than 64 MiB"));
  }
}

}  // namespace
}  // namespace thermoe
