// SPDX-License-Identifier: Apache-2.0
// `thermoe cost` as a user meets it: what it writes, and what it refuses and leaves alone.
#include <gmock/gmock.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "thermoe_process.h"

namespace thermoe {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr const char* kModel = "data/h100/kernel_cost_model.json";
constexpr const char* kRows = "data/h100/vllm_steps.csv";

class CostCommand : public testing::Test {
 protected:
  CostCommand() {
    std::filesystem::create_directories(folder_);
    std::ofstream(costs_) << content(std::string(THERMOE_SOURCE_DIR) + "/" + kModel);
  }
  ~CostCommand() override { std::filesystem::remove_all(folder_); }

  static std::string content(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ + "/" + name) << text;
    return folder_ + "/" + name;
  }
  ProcessResult fit(const std::string& rows, const std::string& model,
                    const std::string& out) const {
    return thermoe_process({"cost", "fit-step", rows, "--cost-model", costs_, "--model", model,
                            "--engine", "vLLM 0.25.1", "--out", out});
  }

  std::string folder_ = testing::TempDir() + "/cost_command_" + std::to_string(::getpid());
  std::string costs_ = folder_ + "/costs.json";
};

TEST_F(CostCommand, FitStepMayWriteIntoTheSameFile) {
  const ProcessResult result = fit(kRows, "Qwen3-30B-A3B", costs_);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("steps          4.973 ms + 0.1442 ms x D"));
  EXPECT_THAT(thermoe_process({"cost", "show", costs_}).out,
              AllOf(HasSubstr("Qwen3-30B-A3B on vLLM 0.25.1, a step beside its expert layers"),
                    Not(HasSubstr("Expert layers only of Qwen3-30B-A3B"))));
  EXPECT_THAT(thermoe_process({"cost", "show", kModel}).out, HasSubstr("Expert layers only"));
}

TEST_F(CostCommand, BadInputLeavesTheCostModelUntouched) {
  const std::string before = content(costs_);
  const auto refused = [&](const ProcessResult& result) {
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.err, StartsWith("thermoe: "));
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(content(costs_), before);
    return result.err;
  };
  EXPECT_THAT(refused(fit(kRows, "Qwen3", costs_)), HasSubstr("--model Qwen3: "));
  EXPECT_THAT(refused(fit(folder_ + "/none.csv", "Qwen3-30B-A3B", costs_)), HasSubstr("none.csv"));
  EXPECT_THAT(refused(fit(write("semi.csv", "batch;active_experts;step_ms\n16;40;10,5\n"),
                          "Qwen3-30B-A3B", costs_)),
              HasSubstr("semi.csv"));
  EXPECT_THAT(refused(fit(write("nan.csv", "batch,active_experts,step_ms\n16,40,n/a\n"),
                          "Qwen3-30B-A3B", costs_)),
              AllOf(HasSubstr("nan.csv"), HasSubstr("line 2"), HasSubstr("step_ms")));
  EXPECT_THAT(refused(fit(write("ragged.csv", "batch,active_experts,step_ms\n16,40\n"),
                          "Qwen3-30B-A3B", costs_)),
              HasSubstr("ragged.csv"));
  EXPECT_THAT(
      refused(fit(write("cut.json", R"({"rows": [{"batch": 16,)"), "Qwen3-30B-A3B", costs_)),
      HasSubstr("cut.json"));
  EXPECT_THAT(refused(thermoe_process({"cost", "plot", costs_, "--out", costs_})),
              HasSubstr("is the cost model itself"));
  EXPECT_THAT(refused(thermoe_process({"cost", "plot", kRows})), HasSubstr(kRows));
}

TEST_F(CostCommand, WhatCannotBeWrittenIsSaidAndLeavesNothing) {
  for (const std::string& out : {folder_ + "/none/x", std::string("/dev/full")}) {
    SCOPED_TRACE(out);
    const ProcessResult plot = thermoe_process({"cost", "plot", costs_, "--out", out});
    EXPECT_EQ(plot.exit_code, 1);
    EXPECT_THAT(plot.err, HasSubstr(out));
    EXPECT_EQ(fit(kRows, "Qwen3-30B-A3B", out).exit_code, 1);
  }
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1) << "debris";
}

TEST_F(CostCommand, PlotWritesOnePageThatHoldsAllItShows) {
  const std::string out = folder_ + "/costs.html";
  EXPECT_EQ(thermoe_process({"cost", "plot", costs_, "--out", out}).exit_code, 0);
  const std::string page = content(out);
  const std::string head = page.substr(0, page.find("</style>"));
  EXPECT_THAT(head,
              AllOf(StartsWith("<!doctype html>"), HasSubstr("default-src 'none'"),
                    HasSubstr("costs.json, NVIDIA H100 80GB HBM3 \u2013 thermoe cost model")));
  EXPECT_NE(page.find("<p class=\"verdict\">Expert layers, which prices come from"),
            std::string::npos);
}

TEST_F(CostCommand, AtLooksPointsUpBetweenTheRows) {
  const std::string layer = "moe_experts [128, 8, 2048, 768] bf16 tokens 16 active ";
  const ProcessResult result = thermoe_process(
      {"cost", "at", costs_, "--json", layer + "64", layer + "60", layer + "82", layer + "2"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto rows = nlohmann::json::parse(result.out);
  EXPECT_EQ(rows[0]["basis"], "measured");
  EXPECT_EQ(rows[0]["point"], layer + "64");
  EXPECT_EQ(rows[1]["basis"], "interpolated");
  EXPECT_EQ(rows[3]["basis"], "extrapolated");
  EXPECT_GT(rows[1]["energy_uj"], 0);
  EXPECT_GT(rows[0]["latency_us"], rows[1]["latency_us"]);
  EXPECT_LT(rows[0]["latency_us"], rows[2]["latency_us"]);
  EXPECT_THAT(thermoe_process({"cost", "at", costs_, layer + "60"}).out,
              AllOf(HasSubstr("interpolated"), HasSubstr(layer + "60")));
}

TEST_F(CostCommand, AtReadsAProfilesRecordsWhoseLayersHaveNoEnergy) {
  const std::string layer = "moe_experts [4, 2, 64, 32] f32 tokens 4 active ";
  std::string lines =
      R"({"kind": "profile", "format": 1, "backend": "cpu", "device": "x", "driver": "",
 "seed": 1})";
  std::erase(lines, '\n');
  for (const char* active : {"2", "4"}) {
    lines += R"(
{"kind": "time", "part": "expert_layer", "source": "timed", "kernels": [], "spans_ns": [)" +
             std::string(active) + R"(000], "point": ")" + layer + active + "\"}";
  }
  const ProcessResult result =
      thermoe_process({"cost", "at", write("records.jsonl", lines + "\n"), "--json", layer + "3"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto row = nlohmann::json::parse(result.out)[0];
  EXPECT_NEAR(row["latency_us"], 3.0, 1e-9);
  EXPECT_TRUE(row["energy_uj"].is_null());
  EXPECT_EQ(row["basis"], "interpolated");
}

TEST_F(CostCommand, AtRefusesWhatNamesNoPointOfTheFile) {
  const auto refused = [&](const std::string& point) {
    const ProcessResult result = thermoe_process({"cost", "at", costs_, point});
    EXPECT_EQ(result.exit_code, 2) << point;
    return result.err;
  };
  EXPECT_THAT(refused("moe_experts of 16 tokens"), HasSubstr("names no point"));
  EXPECT_THAT(refused("moe_experts [8, 2, 64, 32] bf16 tokens 16 active 4"),
              AllOf(HasSubstr("costs.json: has no table of moe_experts [8, 2, 64, 32] bf16"),
                    HasSubstr("cost show")));
  EXPECT_THAT(refused("moe_experts [128, 8, 2048, 768] bf16 tokens 16"),
              HasSubstr("needs \"active N\""));
  EXPECT_THAT(refused("topk_route [128, 8] f32 tokens 16 active 4"),
              HasSubstr("only expert layers"));
  EXPECT_THAT(refused("moe_experts [128, 8, 2048, 768] bf16 tokens 16 active 129"),
              HasSubstr("129 experts cannot be active of 128"));
}

TEST_F(CostCommand, ReplayPredictsARunFromItsFolder) {
  const std::string experiment = write(
      "short.json", R"({"strategies": ["BASELINE"], "duration_s": 2, "calibration_samples": 1})");
  const std::string folder = folder_ + "/run";
  ASSERT_EQ(thermoe_process({"run", experiment, "--out", folder, "--no-report"}).exit_code, 0);
  const std::vector<std::string> command{"cost", "replay", folder, "--cost-model",
                                         "data/h100/plant_cost_model.json"};
  const ProcessResult result = thermoe_process(command);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("run again on the simulated GPU"), HasSubstr("BASELINE"),
                                HasSubstr("Predicted (simulated)")));
  const auto refused = [&](const std::string& from) {
    std::vector<std::string> words = command;
    words.insert(words.end(), {"--heat-from", from});
    const ProcessResult wrong = thermoe_process(words);
    EXPECT_EQ(wrong.exit_code, 2);
    return wrong.err;
  };
  EXPECT_THAT(refused(folder), HasSubstr("is the run to be predicted"));
  EXPECT_THAT(refused(folder_), HasSubstr("holds no config.json"));
  std::filesystem::copy(folder, folder_ + "/again");
  EXPECT_THAT(refused(folder_ + "/again"), HasSubstr("does not tell thermal constants apart"));
}

}  // namespace
}  // namespace thermoe
