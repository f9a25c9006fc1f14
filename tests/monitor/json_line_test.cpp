// SPDX-License-Identifier: Apache-2.0
#include "monitor/json_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace thermoe {
namespace {

TEST(JsonLine, ReadingsHaveTheCsvsNamesAndAbsentOnesAreNull) {
  Snapshot snapshot{.at = Seconds(1.5), .simulated = true, .gpus = {GpuReading{.name = "H100"}}};
  snapshot.gpus[0].power_average.value = Watts(350.5);
  snapshot.gpus[0].throttle_reasons.value = 0x4;
  snapshot.host = {{.name = "RAPL package-0"}};
  snapshot.host[0].power.value = Watts(95);
  const std::string line = json_line(snapshot, "NVML", "2026-01-01T00:00:00.000Z");
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  const auto json = nlohmann::json::parse(line);
  EXPECT_EQ(json.at("t_s"), 1.5);
  EXPECT_EQ(json.at("source"), "NVML");
  EXPECT_EQ(json.at("simulated"), true);
  const auto& gpu = json.at("gpus").at(0);
  EXPECT_EQ(gpu.at("power_w"), 350.5);
  EXPECT_TRUE(gpu.at("temp_gpu_c").is_null());
  EXPECT_EQ(gpu.at("throttle_reasons"), 4);
  EXPECT_EQ(gpu.at("clocks_limited_by"), nlohmann::json({"software power cap"}));
  EXPECT_EQ(json.at("host").at(0).at("host_power_w"), 95);
}

TEST(JsonLine, ANameOfBrokenBytesIsStillJson) {
  const Snapshot snapshot{.gpus = {GpuReading{.name = "H\xFF"}}};
  EXPECT_TRUE(nlohmann::json::accept(json_line(snapshot, "NVML", "")));
}

TEST(JsonLine, TroubleIsAnErrorMember) {
  const auto json =
      nlohmann::json::parse(json_error_line(Seconds(2), "NVML", "", "GPU is \"lost\""));
  EXPECT_EQ(json.at("error"), "GPU is \"lost\"");
}

TEST(JsonLine, ARunSaysItsStateAndController) {
  RunView run{.state = RunView::State::kFinished, .folder = "runs/x", .simulated = true};
  run.strategy = "BASELINE";
  run.lambda = 0.25;
  const auto json = nlohmann::json::parse(json_run_line(run, Seconds(1), ""));
  EXPECT_EQ(json.at("run").at("state"), "finished");
  EXPECT_EQ(json.at("run").at("lambda"), 0.25);
  EXPECT_EQ(json.at("run").at("simulated"), true);
  EXPECT_TRUE(json.at("run").at("power_target_w").is_null());
}

}  // namespace
}  // namespace thermoe
