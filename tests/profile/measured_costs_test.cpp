// SPDX-License-Identifier: Apache-2.0
#include "profile/record/measured_costs.h"

#include <gmock/gmock.h>

#include "cost/cost_writer.h"
#include "profile/ops/profiled_model.h"
#include "profile/parse_report.h"
#include "profile/record/device_timer.h"

namespace thermoe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Nine loads of an expert layer, of which the first `measured` have an energy of 50 W and 20 pJ a
/// byte above idle.
ProfileRecords records_of(int measured) {
  ProfileRecords records{
      .facts = {.backend = "cuda", .device = "A GPU", .driver = "580", .seed = 1}};
  for (int active = 9; active >= 1; --active) {  // not in a table's order
    TimeRecord time{.part = "expert_layer"};
    time.point = *read_op_point("moe_experts [16, 2, 64, 32] bf16 tokens 8 active 1");
    time.point.active_experts = active;
    const std::int64_t ns = 10'000 + 1000 * active;
    time.timing = {.source = CostSource::kCupti, .spans_ns = {ns - 100, ns, ns + 100}};
    time.state.sm_clock = Megahertz(1980);
    if (active <= measured) {
      const Joules above = Watts(50) * Seconds(1e-9 * static_cast<double>(ns)) +
                           Joules(20e-12 * traffic_of(time.point).bytes);
      records.energies.push_back({.point = time.point,
                                  .window = Seconds(5),
                                  .executions = 1e5,
                                  .gross = Watts(120) * Seconds(5) + 1e5 * above,
                                  .idle = Watts(120),
                                  .idle_change = 0.02});
    }
    records.times.push_back(std::move(time));
  }
  return records;
}

TEST(MeasuredCosts, ARowHasTheMedianTheSpreadAndTheEnergyAboveIdle) {
  const MeasuredCosts costs = measured_costs(records_of(9));
  ASSERT_EQ(costs.tables.size(), 1U);
  const CostTable& table = costs.tables[0];
  EXPECT_EQ(table.source(), CostSource::kCupti);
  ASSERT_EQ(table.rows().size(), 9U);
  const CostRow& row = table.rows()[3];
  EXPECT_EQ(row.active_experts, 4.0);
  EXPECT_NEAR(row.latency.value, 14e-6, 1e-12);
  EXPECT_EQ(row.samples, 3);
  EXPECT_NEAR(*row.spread, 0.8 * 200 / (2.0 * 14000), 1e-9);
  EXPECT_FALSE(row.energy_fitted);
  EXPECT_NEAR(row.energy->value, 50 * 14e-6 + 20e-12 * (4.0 * 3 * 64 * 32 * 2 + 2 * 8 * 64 * 2.0),
              1e-12);
  EXPECT_EQ(row.energy_spread, 0.02);
  EXPECT_TRUE(costs.left_out.empty());
}

TEST(MeasuredCosts, EnergiesThatNobodyMeasuredAreFittedAndSaySo) {
  const auto measured = measured_costs(records_of(9));
  const auto fitted = measured_costs(records_of(8));
  ASSERT_EQ(fitted.tables.size(), 1U);
  const CostRow& row = fitted.tables[0].rows().back();
  EXPECT_TRUE(row.energy_fitted);
  EXPECT_NEAR(row.energy->value, measured.tables[0].rows().back().energy->value,
              1e-6 * row.energy->value);
  EXPECT_THAT(fitted.tables[0].method(), HasSubstr("energy of 8 rows"));
  EXPECT_THAT(fitted.tables[0].method(), HasSubstr("others fitted: 50 W + 20 pJ/B"));
}

TEST(MeasuredCosts, FromTooFewEnergiesNothingIsFitted) {
  const auto costs = measured_costs(records_of(7));
  ASSERT_EQ(costs.tables.size(), 1U);
  EXPECT_EQ(costs.tables[0].rows().size(), 7U);
  EXPECT_THAT(costs.left_out,
              ElementsAre(HasSubstr("7 measured, and 8 are needed to fit the other 2"),
                          HasSubstr("2 expert layers: a cost model needs their energy")));
  EXPECT_TRUE(measured_costs(records_of(0)).tables.empty());
  const auto kept = measured_costs(records_of(0), LayersWithoutEnergy::kKept);
  EXPECT_EQ(kept.tables.at(0).rows().size(), 9U) << "for who asks for latencies alone";
  EXPECT_FALSE(kept.tables[0].has_energy());
}

TEST(MeasuredCosts, OtherOpsNeedNoEnergy) {
  ProfileRecords records = records_of(0);
  for (TimeRecord& time : records.times) {
    time.point.key = {.op = "topk_route", .shape = {16, 2}, .dtype = "f32"};
    time.point.tokens = *time.point.active_experts;
    time.point.active_experts.reset();
  }
  const auto costs = measured_costs(records);
  ASSERT_EQ(costs.tables.size(), 1U);
  EXPECT_FALSE(costs.tables[0].has_energy());
  EXPECT_FALSE(cost_model_of(records, costs, {})) << "nobody knows idle";
}

TEST(MeasuredCosts, AModelOfThemLoadsBackAndKnowsItsLayers) {
  const ProfileRecords records = records_of(8);
  ExpertShape shape{.name = "Small", .experts = 16, .top_k = 2, .d_model = 64, .d_ff = 32};
  const ExpertShape& other = profiled_model("gpt-oss-20b").experts;
  const auto model = cost_model_of(records, measured_costs(records), {shape, other});
  ASSERT_TRUE(model);
  const auto back = KernelCostModel::from_json(to_json(*model), "x");
  ASSERT_EQ(back.tables().size(), 1U);
  const CostRow &row = back.tables()[0].rows().back(), &made = model->tables()[0].rows().back();
  EXPECT_TRUE(row.energy_fitted);
  EXPECT_DOUBLE_EQ(row.energy->value, made.energy->value);
  EXPECT_FALSE(back.tables()[0].rows().front().energy_fitted);
  ASSERT_EQ(back.header().models.size(), 1U);
  EXPECT_EQ(back.header().models[0].name, "Small");
  EXPECT_EQ(back.active_idle(), Watts(120));
  EXPECT_EQ(back.header().sm_clock, Megahertz(1980));
  EXPECT_EQ(back.layer(shape, "bf16", 8, 4).basis, Basis::kMeasured);
}

TEST(MeasuredCosts, ATableDoesNotMixWaysOfTiming) {
  ProfileRecords records = records_of(9);
  records.times.back().timing.source = CostSource::kTimed;
  const auto costs = measured_costs(records);
  EXPECT_EQ(costs.tables.at(0).rows().size(), 8U);
  EXPECT_THAT(costs.left_out, ElementsAre(HasSubstr("1 points that were timed by other means")));
}

CuptiKernel kernel(std::uint64_t execution, const char* name, std::int64_t start,
                   std::int64_t end) {
  return {.execution = execution, .name = name, .start_ns = start, .end_ns = end};
}

TEST(CuptiSpans, AnExecutionLastsFromItsFirstKernelToItsLast) {
  OpTiming timing;
  add_kernels(std::vector{kernel(9, "up", 100, 140), kernel(9, "down", 150, 210),
                          kernel(10, "up", 300, 350), kernel(10, "down", 340, 400)},
              "op", timing);
  EXPECT_THAT(timing.spans_ns, ElementsAre(110, 100));
  ASSERT_EQ(timing.kernels.size(), 2U);
  EXPECT_EQ(timing.kernels[0].name, "up");
  EXPECT_EQ(timing.kernels[0].op, "op");
  EXPECT_EQ(timing.kernels[0].count, 2);
  EXPECT_EQ(timing.kernels[0].total_ns, 90);
  EXPECT_EQ(timing.kernels[0].min_ns, 40);
  EXPECT_EQ(timing.kernels[0].max_ns, 50);
}

TEST(ProfileAsParsed, RangesAndKernelsAreThoseOfTheRecords) {
  ProfileRecords records = records_of(9);
  const std::string op = to_string(records.times[0].point);
  add_kernels(std::vector{kernel(0, "up", 100, 140)}, op, records.times[0].timing);
  const ParsedProfile profile = parsed_profile_of(records, "records.jsonl");
  EXPECT_EQ(profile.ranges.at(0).name, op);
  EXPECT_EQ(profile.ranges.at(0).kernels, 1);
  EXPECT_EQ(profile.kernels.at(0).op, op);
  EXPECT_GT(profile.kernels.at(0).mean_power->value, 120);
  EXPECT_TRUE(profile.missing.empty());
  std::string json;
  write_json(profile, [&](std::string_view text) { json += text; });
  EXPECT_EQ(nlohmann::json::parse(json)["tool"], "thermoe");
}

}  // namespace
}  // namespace thermoe
