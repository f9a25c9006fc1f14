// SPDX-License-Identifier: Apache-2.0
#include "machine/calibration/cost_calibration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "core/errors.h"
#include "counting_board.h"

namespace thermoe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kBase = std::string(THERMOE_SOURCE_DIR) + "/data/h100/kernel_cost_model.json";

const ExpertShape kShape{
    .name = "Small", .experts = 4, .top_k = 2, .d_model = 64, .d_ff = 32, .layers = 10};

class CostCalibrationOnABoard : public ::testing::Test {
 protected:
  std::optional<CostCalibration> calibrate(const CalibrationProgress& progress = [](auto...) {}) {
    GpuSystemMonitor monitor(std::move(source_), clock_, {.period = Seconds(0.005)});
    monitor.start();
    return calibrate_costs(
        {.shape = kShape,
         .dtypes = {"bf16"},
         .router = router_,
         .layers = 2,
         .tokens = 8,
         .step_period = Seconds(0.004),
         .base = base_,
         .device = "Board",
         .driver = "1",
         .timing = quick_calibration()},
        {.load = board_.load, .monitor = monitor, .clock = clock_, .stop = stop_}, progress);
  }

  Board board_{};
  SteadyClock clock_{};
  std::atomic<bool> stop_{false};
  std::unique_ptr<BoardSource> source_ = std::make_unique<BoardSource>(board_);
  const RouterSpec router_ = small_router();
  const KernelCostModel base_ = KernelCostModel::load(kBase);
};

TEST_F(CostCalibrationOnABoard, MeasuresWhatStepsTakeAtEachD) {
  std::vector<double> done;
  const auto found = calibrate([&](Seconds so_far, Seconds of) { done.push_back(so_far / of); });
  ASSERT_TRUE(found);
  std::vector<double> active;
  for (const CostRow& row : found->costs.tables()[0].rows()) {
    active.push_back(*row.active_experts);
    EXPECT_NEAR(10 * row.latency.value, seconds_at(*row.active_experts), 1e-9);
    // Loose: sensors and steps run in real time, on whatever machine this is.
    EXPECT_NEAR(10 * row.energy->value / joules_at(*row.active_experts), 1.0, 0.7);
  }
  EXPECT_THAT(active, ElementsAre(2.0, 3.0, 4.0));
  EXPECT_NEAR(found->costs.active_idle().value, 100.0, 80.0);
  EXPECT_EQ(found->costs.header().sm_clock, Megahertz(1500.0));
  EXPECT_FALSE(found->lag) << "it has no such sensor";
  EXPECT_TRUE(std::ranges::is_sorted(done));
  EXPECT_GT(done.front(), 0.0) << "the warm-up is over";
  EXPECT_LT(done.back(), 1.0);
}

TEST_F(CostCalibrationOnABoard, OneThatIsStoppedLeavesNothing) {
  int windows = 0;
  const auto found = calibrate([&](auto...) { stop_ = ++windows == 3; });
  EXPECT_FALSE(found);
  EXPECT_EQ(windows, 3);
}

TEST_F(CostCalibrationOnABoard, ALoadThatFailsEndsItWithItsError) {
  int windows = 0;
  try {
    calibrate([&](auto...) { board_.load.fails = ++windows >= 3; });
    FAIL() << "the load failed";
  } catch (const std::exception& error) {
    EXPECT_THAT(error.what(), HasSubstr("fell off the bus"));
  }
  EXPECT_LE(windows, 5) << "at once, and not when all windows are over";
}

TEST_F(CostCalibrationOnABoard, AGpuWithoutAnEnergyCounterIsRefusedWithTheRemedy) {
  source_->counts = false;
  try {
    calibrate();
    FAIL() << "no energy counter";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("Board has no energy counter"));
    EXPECT_THAT(error.what(), HasSubstr("run with a cost model"));
  }
  EXPECT_EQ(board_.load.steps, 0);
}

TEST_F(CostCalibrationOnABoard, SensorsThatSayNothingOrTooMuchAreRefused) {
  source_->lost = true;
  try {
    calibrate();
    FAIL() << "a lost GPU";
  } catch (const TelemetryError& error) {
    EXPECT_THAT(error.what(), HasSubstr("the GPU is lost; restart the machine"));
  }
  source_ = std::make_unique<BoardSource>(board_);
  source_->gpus = 2;
  EXPECT_THROW(calibrate(), UsageError);
}

}  // namespace
}  // namespace thermoe
