// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "calibration_world.h"
#include "core/errors.h"
#include "cost/cost_writer.h"
#include "machine/calibration/cost_calibration.h"

namespace thermoe {
namespace {

using testing::CalibrationWorld;
using ::testing::HasSubstr;

const std::string kBase = std::string(THERMOE_SOURCE_DIR) + "/data/h100/kernel_cost_model.json";

const ExpertShape kShape{.name = "Qwen3-30B-A3B",
                         .experts = 128,
                         .top_k = 8,
                         .d_model = 2048,
                         .d_ff = 768,
                         .layers = 48};

class CalibratedModel : public ::testing::Test {
 protected:
  CalibrationRequest request(std::vector<std::string> dtypes = {"bf16"}) const {
    return {.shape = kShape,
            .dtypes = std::move(dtypes),
            .router = router_,
            .layers = 4,
            .tokens = 16,
            .step_period = Seconds(0.016),
            .base = base_,
            .device = "Test GPU",
            .driver = "580.1"};
  }
  CalibrationRecord record(int variants = 1) const {
    return world_.record(plan_calibration({.variants = variants,
                                           .active = active_grid(8, 128, 16),
                                           .period = Seconds(0.016),
                                           .longer_period = Seconds(0.032)}));
  }

  CalibrationWorld world_{};
  const RouterSpec router_{.experts = 128, .k = 8};
  const KernelCostModel base_ = KernelCostModel::load(kBase);
};

TEST_F(CalibratedModel, FindsWhatTheWorldIsMadeOf) {
  const CostCalibration found = calibration_of(request(), record());
  EXPECT_NEAR(found.costs.active_idle().value, world_.idle, 1.0);
  EXPECT_NEAR(found.costs.header().cold_idle.value, world_.cold, 0.5);
  ASSERT_EQ(found.costs.tables().size(), 1U);
  const CostTable& table = found.costs.tables()[0];
  EXPECT_EQ(table.source(), CostSource::kCalibrated);
  ASSERT_EQ(table.rows().size(), 6U);
  for (const CostRow& row : table.rows()) {
    const CalibrationWindow work{.active = static_cast<int>(*row.active_experts)};
    EXPECT_NEAR(row.latency.value, world_.latency(work) / 48, 1e-12);
    EXPECT_NEAR(row.energy->value / (world_.energy(work) / 48), 1.0, 0.01) << work.active;
    EXPECT_NEAR(*row.heat / base_.thermal().heat(*row.energy), 1.0, 1e-12);
  }
  // What the loop lives on: power at the experiment's rate.
  for (const CalibratedStep& step : found.fit.steps) {
    const CalibrationWindow work{.active = static_cast<int>(step.active), .period = Seconds(0.016)};
    const Watts modelled =
        mean_power({step.latency, step.energy, {}}, Seconds(0.016), found.costs.active_idle());
    EXPECT_NEAR(modelled.value / world_.power(work), 1.0, 0.01) << step.active;
  }
  ASSERT_TRUE(found.costs.header().sensors);
  EXPECT_NEAR(found.costs.header().sensors->delay.value, 0.1, 0.035) << "polled each 0.05 s";
  EXPECT_NEAR(found.costs.header().sensors->window.value, 0.025, 0.03);
}

TEST_F(CalibratedModel, AControllerPricesByItAndItsFileLoadsBack) {
  const CostCalibration found = calibration_of(request(), record());
  const auto json = to_json(found.costs);
  const KernelCostModel back = KernelCostModel::from_json(json, "calibrated.json");
  const ExpertShape* shape = back.find_shape("Qwen3-30B-A3B");
  ASSERT_NE(shape, nullptr);
  EXPECT_EQ(*shape, kShape);
  const StepCost step = back.step_cost(*shape, {"bf16"}, 16, 12.0);
  EXPECT_NEAR(48 * step.variants[0].activation().latency.value, world_.l1, 1e-9);
  EXPECT_NEAR(48 * step.layer_constant.latency.value, world_.l0, 1e-8);
  EXPECT_NEAR(48 * step.variants[0].activation().energy.value / world_.e1, 1.0, 0.03);
  EXPECT_EQ(json["entries"][0]["source"], "calibrated");
}

TEST_F(CalibratedModel, SaysWhatItWasMeasuredOnAndWhatItTookOver) {
  const CostCalibration found = calibration_of(request(), record());
  const CostModelHeader& header = found.costs.header();
  EXPECT_EQ(header.device, "Test GPU");
  EXPECT_EQ(header.driver, "580.1");
  EXPECT_EQ(header.sm_clock, Megahertz(1980.0));
  EXPECT_EQ(header.memory_clock, Megahertz(2619.0));
  EXPECT_EQ(header.thermal, base_.header().thermal);
  EXPECT_EQ(header.perturbation.power->limit, Watts(650.0)) << "this GPU's";
  EXPECT_EQ(header.perturbation.power->slope, base_.perturbation().power->slope);
  EXPECT_EQ(header.perturbation.thermal->reference, Celsius(40.0)) << "where it was measured";
  EXPECT_EQ(header.perturbation.thermal->energy_per_c, base_.perturbation().thermal->energy_per_c);
  EXPECT_THAT(header.purpose, HasSubstr(base_.header().path));
}

TEST_F(CalibratedModel, StepsBackToBackAreCalibratedToo) {
  CalibrationRequest saturated = request();
  saturated.step_period = Seconds(0.0);
  const CostCalibration found =
      calibration_of(saturated, world_.record(plan_calibration({.active = active_grid(8, 128, 16),
                                                                .longer_period = Seconds(0.026)})));
  EXPECT_NEAR(found.costs.active_idle().value, world_.idle, 2.0);
  for (const CalibratedStep& step : found.fit.steps) {
    const CalibrationWindow work{.active = static_cast<int>(step.active)};
    EXPECT_NEAR(step.energy.value / world_.energy(work), 1.0, 0.02) << step.active;
  }
  EXPECT_THAT(to_text(found), HasSubstr("steps back to back"));
}

TEST_F(CalibratedModel, PrecisionsAreCalibratedApart) {
  const CostCalibration found = calibration_of(request({"bf16", "int4"}), record(2));
  ASSERT_EQ(found.costs.tables().size(), 2U);
  const CostTable& int4 = found.costs.tables()[1];
  EXPECT_EQ(int4.key().dtype, "int4");
  EXPECT_EQ(int4.key().group_size, 128) << "the base's";
  for (std::size_t i = 0; i < 6; ++i) {
    const CostRow& row = int4.rows()[i];
    const CostRow& bf16 = found.costs.tables()[0].rows()[i];
    EXPECT_EQ(row.active_experts, bf16.active_experts);
    EXPECT_NEAR(row.latency / bf16.latency, 0.5, 1e-9);
    EXPECT_NEAR(*row.energy / *bf16.energy, 0.5, 0.01);
  }
  EXPECT_NO_THROW(found.costs.step_cost(kShape, {"bf16", "int4"}, 16, 12.0));
}

TEST_F(CalibratedModel, ASensorThatDoesNotFollowLeavesTheLagOut) {
  CalibrationRecord seen = record();
  for (Snapshot& snapshot : seen.snapshots) snapshot.gpus[0].power_instant = {};
  const CostCalibration found = calibration_of(request(), seen);
  EXPECT_FALSE(found.costs.header().sensors);
  EXPECT_THAT(to_text(found), HasSubstr("did not follow the work"));
}

TEST_F(CalibratedModel, TheTerminalSaysInFewLinesWhatWasFound) {
  const std::string text = to_text(calibration_of(request(), record()));
  EXPECT_LE(std::ranges::count(text, '\n'), 16) << text;
  EXPECT_THAT(text, HasSubstr("Qwen3-30B-A3B on Test GPU, 16 tokens, a step each 16 ms"));
  EXPECT_THAT(text, HasSubstr("kernel_cost_model.json"));
  EXPECT_THAT(text, HasSubstr("W with clocks up"));
}

TEST_F(CalibratedModel, AnEnergyCounterThatBeginsAnewIsNoMeasurement) {
  CalibrationRecord seen = record();
  for (std::size_t i = seen.snapshots.size() / 2; i < seen.snapshots.size(); ++i) {
    ++seen.snapshots[i].gpus[0].energy_gaps;
  }
  try {
    calibration_of(request(), seen);
    FAIL() << "a gap in the counter";
  } catch (const TelemetryError& error) {
    EXPECT_THAT(error.what(), HasSubstr("energy counter of GPU began anew in a window of D="));
  }
}

TEST_F(CalibratedModel, ACounterThatStandsStillIsNoMeasurement) {
  CalibrationRecord seen = record();
  for (Snapshot& snapshot : seen.snapshots) snapshot.gpus[0].energy.changed_at = Seconds(0.0);
  try {
    calibration_of(request(), seen);
    FAIL() << "a counter that stands still";
  } catch (const TelemetryError& error) {
    EXPECT_THAT(error.what(), HasSubstr("changed 0 times during a rest"));
  }
}

}  // namespace
}  // namespace thermoe
