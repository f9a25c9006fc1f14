// SPDX-License-Identifier: Apache-2.0
#include "profile/cost_merge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "cost/kernel_cost_model.h"
#include "cost_model_fixture.h"
#include "profile/op_point.h"
#include "scratch_file.h"

namespace thermoe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const OpKey kLinear{.op = "linear", .shape = {1536, 2048}, .dtype = "bf16"};
const OpKey kExperts{
    .op = "moe_experts", .shape = {64, 8, 2048, 1024}, .dtype = "int4", .group_size = 128};

/// Executions of 8, 9, ... us at so many watts; without watts nobody sampled.
RangeRecord range(const OpPoint& point, int executions, std::optional<double> watts = {}) {
  RangeRecord record{.name = to_string(point), .domain = "thermoe", .count = executions};
  for (int i = 0; i < executions; ++i) {
    Execution execution{.span_ns = 1000 * (8 + i)};
    if (watts) execution.energy = Joules(*watts * 1e-9 * static_cast<double>(execution.span_ns));
    record.executions.push_back(execution);
  }
  return record;
}

class CostMerge : public ::testing::Test {
 protected:
  CostMerge() {
    nlohmann::json json = testing::sound_model();
    json["thermal"]["method"] = "by hand";  // for people; no reader keeps it
    path_ = folder_.write("model.json", json.dump());
  }
  static ParsedProfile profile(std::vector<RangeRecord> ranges) {
    return {
        .file = "a.sqlite", .tool = "nsys", .devices = {"Test GPU"}, .ranges = std::move(ranges)};
  }
  /// What merging says is wrong; the file must then be as it was.
  std::string refusal(const ParsedProfile& profile) const {
    const std::string before = bytes_of(path_);
    try {
      merge_costs(profile, path_);
    } catch (const UsageError& error) {
      EXPECT_EQ(bytes_of(path_), before);
      return error.what();
    }
    return "merged";
  }

  ScratchFolder folder_{};
  std::string path_{};
};

TEST_F(CostMerge, ARowIsTheMedianOfItsExecutionsWithTheirSpread) {
  const MergedCosts merged = merge_costs(profile({range({kLinear, 4.0}, 11, 430.0)}), path_);
  EXPECT_EQ(merged.rows, 1);
  EXPECT_EQ(merged.tables, 1);
  const KernelCostModel model = KernelCostModel::load(path_);
  const CostTable& table = *model.find(kLinear);
  EXPECT_EQ(table.source(), CostSource::kNsys);
  ASSERT_EQ(table.rows().size(), 3U);
  const CostRow& row = table.rows()[1];
  EXPECT_EQ(row.tokens, 4.0);
  EXPECT_NEAR(row.latency.value, 13e-6, 1e-12);
  EXPECT_EQ(row.samples, 11);
  EXPECT_NEAR(*row.spread, 8.0 / 26.0, 1e-12);
  // 430 W while it ran, 130 W of them idle.
  EXPECT_NEAR(row.energy->value, 300.0 * 13e-6, 1e-9);
  // The rows around it are as they were, and so is what only people read.
  EXPECT_NEAR(table.rows()[0].latency.value, 6e-6, 1e-12);
  EXPECT_THAT(bytes_of(path_), HasSubstr("by hand"));
}

TEST_F(CostMerge, ANewTableIsAdded) {
  const MergedCosts merged = merge_costs(
      profile({range({kExperts, 16.0, 40.0}, 3, 500.0), range({kExperts, 16.0, 24.5}, 3, 500.0)}),
      path_);
  EXPECT_EQ(merged.rows, 2);
  const KernelCostModel model = KernelCostModel::load(path_);
  ASSERT_EQ(model.tables().size(), 3U);
  EXPECT_EQ(model.find(kExperts)->rows().front().active_experts, 24.5);
}

TEST_F(CostMerge, WithoutSamplesAnOpHasNoEnergyAndAnExpertLayerNoRow) {
  const MergedCosts merged =
      merge_costs(profile({range({kLinear, 2.0}, 1), range({kExperts, 16.0, 40.0}, 3)}), path_);
  EXPECT_EQ(merged.rows, 1);
  EXPECT_THAT(merged.left_out, ElementsAre(HasSubstr("needs its energy: parse with --samples")));
  const CostRow row = KernelCostModel::load(path_).find(kLinear)->rows()[1];
  EXPECT_EQ(row.energy, std::nullopt);
  EXPECT_EQ(row.spread, std::nullopt);
}

TEST_F(CostMerge, ASecondMergeOfTheSameProfileChangesNothing) {
  const ParsedProfile same = profile({range({kLinear, 4.0}, 11, 430.0)});
  merge_costs(same, path_);
  const std::string once = bytes_of(path_);
  merge_costs(same, path_);
  EXPECT_EQ(bytes_of(path_), once);
}

TEST_F(CostMerge, TablesOfAnotherSourceAreNotMixed) {
  const OpKey cupti{.op = "moe_experts", .shape = {128, 8, 2048, 768}, .dtype = "bf16"};
  EXPECT_THAT(refusal(profile({range({cupti, 16.0, 40.0}, 3, 500.0)})),
              HasSubstr("/entries/0: has moe_experts [128, 8, 2048, 768] bf16 from cupti"));
}

TEST_F(CostMerge, AnotherGpuIsRefused) {
  ParsedProfile other = profile({range({kLinear, 4.0}, 2)});
  other.devices = {"Tesla T4"};
  EXPECT_THAT(refusal(other), HasSubstr("/device: is Test GPU"));
  other.devices = {};
  EXPECT_THAT(refusal(other), HasSubstr("does not say on which GPU"));
}

TEST_F(CostMerge, WhatNamesNoOpIsNoRow) {
  RangeRecord named{.name = "fc1", .executions = {{.span_ns = 5}}};
  EXPECT_THAT(refusal(profile({named})), HasSubstr("fc1: names no op with shape"));
  EXPECT_THAT(refusal(profile({})), HasSubstr("no range that is a row"));
  EXPECT_THAT(refusal(profile({range({{.op = "fc9", .shape = {1}, .dtype = "bf16"}, 4.0}, 2)})),
              HasSubstr("fc9"));
}

TEST_F(CostMerge, NcusDurationsAreNoLatencies) {
  ParsedProfile ncu = profile({range({kLinear, 4.0}, 2)});
  ncu.tool = "ncu";
  EXPECT_THAT(refusal(ncu), HasSubstr("durations are no latencies"));
}

TEST_F(CostMerge, AModelThatIsNotThereIsNamed) {
  try {
    merge_costs(profile({range({kLinear, 4.0}, 2)}), folder_ / "none.json");
    FAIL() << "merged into nothing";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("none.json"));
  }
}

TEST(OpPoint, IsReadBackFromItsName) {
  for (const OpPoint& point :
       {OpPoint{kLinear, 4.0}, OpPoint{kExperts, 16.0, 73.5},
        OpPoint{{.op = "activation_relu", .shape = {768}, .dtype = "f16"}, 1.0}}) {
    EXPECT_EQ(read_op_point(to_string(point)), point) << to_string(point);
  }
  EXPECT_EQ(to_string(OpPoint{kExperts, 16.0, 73.5}),
            "moe_experts [64, 8, 2048, 1024] int4 group 128 tokens 16 active 73.5");
  for (const char* other : {"", "fc1", "linear [1, 2] bf16", "linear [1, x] bf16 tokens 4",
                            "linear [1, 2] bf16 tokens", "linear [1, 2] bf16 tokens nan",
                            "linear [1, 2] bf16 tokens 4 of 5", "] linear [ bf16 tokens 4"}) {
    EXPECT_EQ(read_op_point(other), std::nullopt) << other;
  }
}

}  // namespace
}  // namespace thermoe
