// SPDX-License-Identifier: Apache-2.0
#include "cost/other_fit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "core/errors.h"
#include "core/json_file.h"
#include "cost_model_fixture.h"

namespace thermoe {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

KernelCostModel model() {
  nlohmann::json json = testing::sound_model();
  json["models"] = {{{"name", "A"}, {"layers", 10}, {"shape", {128, 8, 2048, 768}}}};
  return KernelCostModel::from_json(json, "m.json");
}

/// A step of 10 of its layers and `other_ms`, `other_j` beside them, idle included.
StepRow step(double batch, double active, double other_ms, double other_j) {
  const Lookup layer = model().layer(*model().find_shape("A"), "bf16", batch, active);
  const Seconds time = Seconds(1e-3 * other_ms) + 10.0 * layer.cost.latency;
  return {.batch = batch,
          .active_experts = active,
          .step = time,
          .energy = Joules(other_j) + 10.0 * layer.cost.energy + model().active_idle() * time};
}

const OtherFitRequest kRequest{.rows_file = "rows.csv", .model = "A", .engine = "engine 1"};

class OtherFitFiles : public ::testing::Test {
 protected:
  OtherFitFiles() { std::filesystem::create_directories(folder_); }
  ~OtherFitFiles() override { std::filesystem::remove_all(folder_); }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ + "/" + name, std::ios::binary) << text;
    return folder_ + "/" + name;
  }
  std::string refusal(const std::string& text) const {
    try {
      read_step_rows(write("rows", text));
    } catch (const FormatError& e) {
      return std::string(e.what()).substr(folder_.size() + 1);
    }
    return "accepted";
  }
  std::string folder_ = ::testing::TempDir() + "other_fit_" + std::to_string(::getpid());
};

TEST(OtherFit, FindsWhatStandsBesideTheExpertLayers) {
  const OtherFit fit = fit_other_costs(
      {step(16, 20, 2.0, 0.3), step(16, 100, 2.0, 0.3), step(64, 60, 3.0, 0.5)}, model(), kRequest);
  ASSERT_EQ(fit.other.rows().size(), 2u);
  EXPECT_NEAR(fit.other.rows()[0].latency.value, 2e-3, 1e-12);
  EXPECT_NEAR(fit.other.rows()[0].energy->value, 0.3, 1e-9);
  EXPECT_NEAR(*fit.other.rows()[0].spread, 0.0, 1e-9);
  EXPECT_FALSE(fit.other.rows()[1].spread) << "one row has no spread";
  EXPECT_NEAR(fit.other.rows()[1].latency.value, 3e-3, 1e-12);
  EXPECT_EQ(fit.points[0].basis, Basis::kMeasured);
  EXPECT_EQ(fit.points[1].basis, Basis::kInterpolated);
  // The fixture's line: 10 layers of 3 us - 0.01 us a distinct expert.
  EXPECT_NEAR(*fit.points[0].latency.steps.slope, 29.9e-6, 1e-9);
  EXPECT_FALSE(fit.points[1].latency.steps.slope);
  EXPECT_THAT(fit_text(fit), AllOf(HasSubstr("A on engine 1"), HasSubstr("one D only")));
}

TEST(OtherFit, WhatAnEngineWithOtherKernelsLeavesOverIsSaid) {
  StepRow slow = step(16, 100, 2.0, 0.3);
  slow.step += Seconds(1e-3);
  const OtherFit fit = fit_other_costs({step(16, 20, 2.0, 0.3), slow}, model(), kRequest);
  EXPECT_NEAR(fit.other.rows()[0].latency.value, 2.5e-3, 1e-12);
  EXPECT_NEAR(*fit.other.rows()[0].spread, 0.2, 1e-9);
  EXPECT_GT(fit.points[0].latency.max, 0.05);
  EXPECT_THAT(fit_text(fit), HasSubstr("% against the tables"));
}

TEST(OtherFit, WithoutJoulesOnlyTheTimeIsFitted) {
  StepRow silent = step(16, 20, 2.0, 0.3);
  silent.energy.reset();
  const OtherFit fit = fit_other_costs({silent, step(16, 40, 2.0, 0.3)}, model(), kRequest);
  EXPECT_FALSE(fit.other.rows()[0].energy);
  EXPECT_THAT(fit_text(fit), HasSubstr("not every row has step_j"));
}

TEST(OtherFit, RefusesRowsThatContradictTheTables) {
  const auto refused = [](StepRow row, OtherFitRequest request = kRequest) {
    row.place = "line 2";
    try {
      fit_other_costs({row}, model(), request);
    } catch (const UsageError& e) {
      return std::string(e.what());
    }
    return std::string("accepted");
  };
  EXPECT_THAT(refused(step(16, 20, -0.3, 0.3)),
              AllOf(StartsWith("rows.csv: step_ms: "), HasSubstr("engine 1 runs")));
  EXPECT_THAT(refused(step(16, 20, 2.0, -0.03)),
              AllOf(StartsWith("rows.csv: step_j: "), HasSubstr("leave step_j out")));
  StepRow cold = step(16, 20, 2.0, 0.3);
  cold.energy = Joules(1e-3);
  EXPECT_THAT(refused(cold),
              AllOf(StartsWith("rows.csv: line 2, step_j: is 0.001 J"), HasSubstr("whole board")));
  StepRow many = step(16, 20, 2.0, 0.3);
  many.active_experts = 200;
  EXPECT_THAT(refused(many), AllOf(StartsWith("rows.csv: line 2, active_experts: is 200"),
                                   HasSubstr("128 experts")));
  OtherFitRequest other = kRequest;
  other.model = "AA";
  EXPECT_THAT(refused(step(16, 20, 2.0, 0.3), other),
              AllOf(StartsWith("--model AA: m.json"), HasSubstr("did you mean \"A\"")));
  other = kRequest;
  other.dtype = "int4";
  EXPECT_THAT(refused(step(16, 20, 2.0, 0.3), other), HasSubstr("no single table"));
}

TEST_F(OtherFitFiles, RowsAreReadFromCsvAndJsonAlike) {
  const auto csv = read_step_rows(write("rows.csv",
                                        "# where from\n"
                                        "batch,active_experts,step_ms,step_j,graph_size,context\n"
                                        "16,77.7,16.2,7.69,16,512\n"
                                        "8,40,9,,8,512"));
  const auto json = read_step_rows(write("rows.json", R"( {"description": "where from", "rows": [
      {"batch": 16, "active_experts": 77.7, "step_ms": 16.2, "step_j": 7.69, "graph_size": 16, "context": 512},
      {"batch": 8, "active_experts": 40, "step_ms": 9, "graph_size": 8, "context": 512}]})"));
  ASSERT_EQ(csv.size(), 2u);
  ASSERT_EQ(json.size(), 2u);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(csv[i].batch, json[i].batch);
    EXPECT_EQ(csv[i].active_experts, json[i].active_experts);
    EXPECT_EQ(csv[i].step, json[i].step);
    EXPECT_EQ(csv[i].energy, json[i].energy);
    EXPECT_EQ(csv[i].graph_size, json[i].graph_size);
    EXPECT_EQ(csv[i].context, json[i].context);
  }
  EXPECT_EQ(csv[1].place, "line 4");
  EXPECT_EQ(json[1].place, "/rows/1");
}

TEST_F(OtherFitFiles, BadRowsAreRefusedByFileRowAndField) {
  const std::string head = "batch,active_experts,step_ms,step_j\n";
  EXPECT_THAT(refusal(head), StartsWith("rows: has no rows"));
  EXPECT_THAT(refusal(""), StartsWith("rows: "));
  EXPECT_THAT(refusal("batch,active_experts,step_us\n1,1,1\n"),
              AllOf(StartsWith("rows: line 1, step_us"), HasSubstr("step_ms")));
  EXPECT_THAT(refusal(head + "16,40,,1\n"),
              AllOf(StartsWith("rows: line 2, step_ms: is empty"), HasSubstr("needs it")));
  EXPECT_THAT(refusal(head + "16,40,-3,1\n"),
              AllOf(StartsWith("rows: line 2, step_ms: is -3"), HasSubstr("[0.001, ")));
  EXPECT_THAT(refusal(head + "16,forty,3,1\n"), HasSubstr("line 2"));
  EXPECT_THAT(refusal("batch,active_experts,step_ms,graph_size\n16,40,3,16.5\n"),
              HasSubstr("line 2, graph_size: is 16.5, must be a whole number"));
  EXPECT_THAT(refusal(R"({"rows": [{"batch": 16, "active_experts": 40}]})"),
              StartsWith("rows: /rows/0/step_ms: is missing"));
  EXPECT_THAT(refusal(R"({"rows": []})"), StartsWith("rows: has no rows"));
  EXPECT_THAT(refusal(R"({"rows": [{"batch": 1, "active_experts": 4, "step_ms": 1, "ms": 1}]})"),
              HasSubstr("/rows/0/ms: "));
}

TEST_F(OtherFitFiles, WritingTakesThePlaceOfTheSameEngineAndLeavesTheRest) {
  nlohmann::json json = testing::sound_model();
  json["models"] = {{{"name", "A"}, {"layers", 10}, {"shape", {128, 8, 2048, 768}}}};
  json["thermal"]["method"] = "a note to people";
  const std::string path = write("m.json", json.dump());
  const auto fitted = [](double ms) {
    return fit_other_costs({step(16, 20, ms, 0.3)}, model(), kRequest).other;
  };
  write_other_costs(fitted(2.0), path, path);
  write_other_costs({"A", "engine 2", CostSource::kCupti, "", {{.latency = Seconds(1e-3)}}}, path,
                    path);
  write_other_costs(fitted(3.0), path, path);
  const KernelCostModel back = KernelCostModel::load(path);
  ASSERT_EQ(back.others().size(), 2u);
  EXPECT_EQ(back.others()[0].engine(), "engine 1");
  EXPECT_NEAR(back.others()[0].rows()[0].latency.value, 3e-3, 1e-9);
  const nlohmann::json written = read_json_file(path);
  EXPECT_EQ(written["schema"], 2);
  EXPECT_EQ(written["thermal"]["method"], "a note to people");

  EXPECT_THROW(write_other_costs(fitted(4.0), path, folder_ + "/none/m.json"), WriteError);
  // What would not load is not written.
  EXPECT_THROW(
      write_other_costs({"B", "engine 1", CostSource::kCupti, "", {{.latency = Seconds(1e-3)}}},
                        path, path),
      FormatError);
  EXPECT_TRUE(KernelCostModel::load(path) == back);
}

TEST(OtherFitOfVllm, AboutFiveMillisecondsStandBesideTheDistinctExperts) {
  const std::string data = std::string(THERMOE_SOURCE_DIR) + "/data/h100/";
  const KernelCostModel costs = KernelCostModel::load(data + "kernel_cost_model.json");
  const OtherFit fit = fit_other_costs(
      read_step_rows(data + "vllm_steps.csv"), costs,
      {.rows_file = "vllm_steps.csv", .model = "Qwen3-30B-A3B", .engine = "vLLM 0.25.1"});
  ASSERT_EQ(fit.points.size(), 1u);
  const QuantityFit& latency = fit.points[0].latency;
  EXPECT_NEAR(1e3 * latency.steps.constant, 4.96, 0.03);
  EXPECT_NEAR(1e3 * *latency.steps.slope, 0.145, 0.001);
  EXPECT_LT(latency.max, 0.01) << "experts by the tables + other";
  // 48 layers of the tables have a constant of their own: the rest is other.
  EXPECT_NEAR(1e3 * fit.other.rows()[0].latency.value, 4.1, 0.05);
  EXPECT_LT(*fit.other.rows()[0].spread, 0.02);
  // The tables' joules come from windows of a second: what is left of them is only known roughly.
  EXPECT_NEAR(fit.other.rows()[0].energy->value, 0.29, 0.05);
  EXPECT_GT(*fit.other.rows()[0].energy_spread, 0.5);
}

TEST_F(OtherFitFiles, RowsAreReadAsTheyWereWritten) {
  const std::string path = write("written.csv", "");
  const std::vector<StepRow> rows{
      {.batch = 8, .active_experts = 40.25, .step = Seconds(0.0125), .energy = Joules(3.5)},
      {.batch = 16, .active_experts = 64, .step = Seconds(0.014), .context = 160.0}};
  write_step_rows(rows, "of a \x1b[31mboard", path);
  const std::vector<StepRow> read = read_step_rows(path);
  ASSERT_EQ(read.size(), 2U);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(read[i].batch, rows[i].batch);
    EXPECT_EQ(read[i].active_experts, rows[i].active_experts);
    EXPECT_DOUBLE_EQ(read[i].step.value, rows[i].step.value);
    EXPECT_EQ(read[i].energy, rows[i].energy) << "absent is absent";
    EXPECT_EQ(read[i].graph_size, std::nullopt);
    EXPECT_EQ(read[i].context, rows[i].context);
  }
}

}  // namespace
}  // namespace thermoe
