// SPDX-License-Identifier: Apache-2.0
#include "profile/record/step_profile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "counting_board.h"

namespace thermoe {
namespace {

using ::testing::ElementsAre;

const std::string kBase = std::string(THERMOE_SOURCE_DIR) + "/data/h100/kernel_cost_model.json";

/// A load that outlives who was given it, as the board goes on counting its steps.
class LentLoad final : public StepLoad {
 public:
  explicit LentLoad(StepLoad& load) : load_(load) {}
  void stage(const StagedStep& step) override { load_.stage(step); }
  Seconds run() override { return load_.run(); }
  const RoutedPicks& picks() const override { return load_.picks(); }

 private:
  StepLoad& load_;
};

class StepsOnABoard : public ::testing::Test {
 protected:
  bool profile(std::vector<int> tokens, std::vector<StepRow> known = {}) {
    auto source = std::make_unique<BoardSource>(board_);
    GpuSystemMonitor monitor(std::move(source), clock_, {.period = Seconds(0.005)});
    monitor.start();
    return profile_steps(
        {.shape =
             {.name = "Small", .experts = 4, .top_k = 2, .d_model = 64, .d_ff = 32, .layers = 2},
         .tokens = std::move(tokens),
         .device = "Board",
         .driver = "1",
         .base = base_,
         .timing = quick_calibration()},
        {.make_load =
             [&](int batch) {
               loads_.push_back(batch);
               return std::make_unique<LentLoad>(board_.load);
             },
         .monitor = monitor,
         .clock = clock_,
         .stop = stop_,
         .progress = [](auto...) {}},
        std::move(known), [&](const std::vector<StepRow>& rows) {
          kept_.push_back(rows);
          stop_ = stop_after_ == kept_.size();
        });
  }

  Board board_{};
  SteadyClock clock_{};
  std::atomic<bool> stop_{false};
  std::size_t stop_after_ = 0;
  std::vector<int> loads_{};
  std::vector<std::vector<StepRow>> kept_{};
  const KernelCostModel base_ = KernelCostModel::load(kBase);
};

TEST_F(StepsOnABoard, RowsSayWhatAStepTakesAndWhatTheBoardBurnsMeanwhile) {
  ASSERT_TRUE(profile({8}));
  ASSERT_EQ(kept_.size(), 1U);
  std::vector<double> active;
  for (const StepRow& row : kept_[0]) {
    EXPECT_EQ(row.batch, 8.0);
    active.push_back(row.active_experts);
    EXPECT_NEAR(row.step.value, seconds_at(row.active_experts), 1e-9);
    // Loose: sensors and steps run in real time, on whatever machine this is.
    const double joules = joules_at(row.active_experts) + 100.0 * row.step.value;
    EXPECT_NEAR(row.energy->value / joules, 1.0, 0.7);
  }
  EXPECT_THAT(active, ElementsAre(2.0, 3.0, 4.0));
}

TEST_F(StepsOnABoard, WhatIsThereIsNotMeasuredAgainAndEachBatchIsKeptAtOnce) {
  stop_after_ = 1;
  EXPECT_FALSE(profile({16, 8, 4}, {{.batch = 16.0, .active_experts = 4.0, .step = Seconds(1.0)}}));
  EXPECT_THAT(loads_, ElementsAre(8, 4)) << "stopped in the second";
  ASSERT_EQ(kept_.size(), 1U);
  EXPECT_EQ(kept_[0].front().batch, 8.0) << "in order";
  EXPECT_EQ(kept_[0].back().batch, 16.0);
}

}  // namespace
}  // namespace thermoe
