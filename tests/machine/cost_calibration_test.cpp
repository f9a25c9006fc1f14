// SPDX-License-Identifier: Apache-2.0
#include "machine/calibration/cost_calibration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "core/errors.h"
#include "fake_step_load.h"

namespace thermoe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kBase = std::string(THERMOE_SOURCE_DIR) + "/data/h100/kernel_cost_model.json";

const ExpertShape kShape{
    .name = "Small", .experts = 4, .top_k = 2, .d_model = 64, .d_ff = 32, .layers = 10};

double seconds_at(double active) { return 0.4e-3 + 0.2e-3 * active; }
double joules_at(double active) { return 0.1 + 0.1 * active; }

double active_of(const StagedStep& step) {
  std::vector<bool> reached(static_cast<std::size_t>(step.sample.experts));
  const auto layer = step.sample.layer(0);
  for (std::size_t i = 0; i < layer.size(); ++i) {
    if (!std::isnan(layer[i])) reached[i % reached.size()] = true;
  }
  return static_cast<double>(std::ranges::count(reached, true));
}

/// A board of 100 W on which every step takes its time and its joules, in real time.
class Board {
 public:
  Board() {
    load.on_stage = [this](const StagedStep& step) {
      const std::lock_guard lock(mutex_);
      settle();
      each_ = joules_at(active_of(step));
      load.step_seconds = seconds_at(active_of(step));
    };
  }
  double joules(Seconds now) {
    const std::lock_guard lock(mutex_);
    settle();
    return 100.0 * now.value + counted_;
  }

  FakeStepLoad load{};

 private:
  void settle() {
    const int steps = load.steps;
    counted_ += each_ * (steps - steps_);
    steps_ = steps;
  }

  std::mutex mutex_;
  double each_ = 0.0;
  double counted_ = 0.0;
  int steps_ = 0;
};

class BoardSource final : public Source {
 public:
  explicit BoardSource(Board& board) : board_(board) {}
  std::string_view name() const override { return "board"; }
  int gpus = 1;
  bool counts = true;
  bool lost = false;

 private:
  Snapshot poll(Seconds now) override {
    if (lost) throw TelemetryError("the GPU is lost; restart the machine");
    GpuReading gpu{.name = "Board"};
    if (counts) gpu.energy.value = Joules(board_.joules(now));
    gpu.sm_clock.value = Megahertz(1500.0);
    return {.gpus = std::vector<GpuReading>(static_cast<std::size_t>(gpus), gpu)};
  }
  Board& board_;
};

class CostCalibrationOnABoard : public ::testing::Test {
 protected:
  std::optional<CostCalibration> calibrate(const CalibrationProgress& progress = [](auto...) {}) {
    GpuSystemMonitor monitor(std::move(source_), clock_, {.period = Seconds(0.005)});
    monitor.start();
    const CalibrationTiming quick{.budget = Seconds(10.0),
                                  .warm_up = Seconds(0.05),
                                  .window = Seconds(0.15),
                                  .settle = Seconds(0.04),
                                  .idle = Seconds(0.2),
                                  .edge = Seconds(0.02),
                                  .edges = 2,
                                  .change = Seconds(0.01),
                                  .least_counted = Seconds(0.1)};
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
         .timing = quick},
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
