// SPDX-License-Identifier: Apache-2.0
#include "profile/parse_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace thermoe {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

ParsedProfile sample() {
  return {.file = "a.sqlite",
          .tool = "nsys",
          .version = "2025.3.1.90",
          .kernels = {{.name = "void gemm<int>(int)",
                       .op = "fc1",
                       .count = 4,
                       .total_ns = 10000,
                       .min_ns = 2000,
                       .max_ns = 4000,
                       .grid = Extent{132, 1, 1},
                       .block = Extent{32, 16, 1},
                       .registers = 40,
                       .energy = Joules(0.004),
                       .mean_power = Watts(400.0),
                       .mean_temperature = Celsius(61.5)},
                      {.count = 1}},
          .orphan_kernels = 1,
          .ranges = {{.name = "fc1",
                      .domain = "thermoe",
                      .count = 2,
                      .total_ns = 900,
                      .kernels = 4,
                      .kernel_ns = 10000},
                     {.name = "step", .domain = "thermoe", .count = 1, .total_ns = 1900}},
          .missing = {"GPU_METRICS"}};
}

std::string json_of(const ParsedProfile& profile) {
  std::string text;
  write_json(profile, [&](std::string_view piece) { text += piece; });
  return text;
}

TEST(ParseReport, TheJsonIsWhatTheDocsSay) {
  const std::string expected =
      R"~({"file":"a.sqlite","tool":"nsys","version":"2025.3.1.90","kernels":[)~"
      R"~({"name":"void gemm<int>(int)","op":"fc1","count":4,"total_ns":10000,"mean_ns":2500.0,)~"
      R"~("min_ns":2000,"max_ns":4000,"grid":[132,1,1],"block":[32,16,1],"registers":40,)~"
      R"~("energy_uj":4000.0,"mean_power_w":400.0,"mean_temperature_c":61.5},)~"
      R"~({"name":null,"op":null,"count":1,"total_ns":null,"mean_ns":null,"min_ns":null,)~"
      R"~("max_ns":null,"grid":null,"block":null,"registers":null,"energy_uj":null,)~"
      R"~("mean_power_w":null,"mean_temperature_c":null}],"orphan_kernels":1,"ranges":[)~"
      R"~({"name":"fc1","domain":"thermoe","count":2,"total_ns":900,"kernels":4,)~"
      R"~("kernel_ns":10000},{"name":"step","domain":"thermoe","count":1,"total_ns":1900,)~"
      R"~("kernels":0,"kernel_ns":0}],"missing":["GPU_METRICS"]})~";
  EXPECT_EQ(nlohmann::ordered_json::parse(json_of(sample())).dump(), expected);
  EXPECT_EQ(nlohmann::json::parse(json_of({.file = "a\xFF"}))["kernels"].size(), 0U);
}

TEST(ParseReport, TheTextSaysWhatTakesTimeAndWhatIsMissing) {
  EXPECT_THAT(to_text(sample(), 20),
              AllOf(HasSubstr("5 kernel launches of 2 kinds, 0.01 ms on the GPU"),
                    HasSubstr("  gemm<int>(int)\n"), HasSubstr("32x16"),
                    HasSubstr("1 kernel has no launch in the file"),
                    HasSubstr("GPU_METRICS: no power, energy and temperature"),
                    HasSubstr("and 1 that launched no kernel themselves")));
}

TEST(ParseReport, ForeignBytesDoNotReachTheTerminal) {
  ParsedProfile profile = sample();
  profile.kernels.front().name = "k\x1b[31m\n\xff";
  profile.ranges.front().domain = "d\x1b[2J";
  profile.missing.emplace_back("m\x1b[2J");
  EXPECT_THAT(to_text(profile, 20), Not(HasSubstr("\x1b")));
}

TEST(ParseReport, LongTablesAreCutAndSaySo) {
  EXPECT_THAT(to_text(sample(), 1), HasSubstr("and 1 more: --rows 2, or --json"));
}

}  // namespace
}  // namespace thermoe
