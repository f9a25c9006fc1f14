// SPDX-License-Identifier: Apache-2.0
#include "report/metrics_logger.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace thermoe {
namespace {

class MetricsLoggerFiles : public testing::Test {
 protected:
  MetricsLoggerFiles() { std::filesystem::create_directories(folder_); }
  ~MetricsLoggerFiles() override { std::filesystem::remove_all(folder_); }

  static std::vector<std::string> split(const std::string& line) {
    std::vector<std::string> cells;
    std::istringstream in(line + ",");
    for (std::string cell; std::getline(in, cell, ',');) cells.push_back(cell);
    return cells;
  }

  std::vector<std::vector<std::string>> read(const std::string& name) const {
    std::ifstream in(folder_ + "/" + name);
    std::vector<std::vector<std::string>> rows;
    for (std::string line; std::getline(in, line);) rows.push_back(split(line));
    return rows;
  }

  std::string folder_ =
      (std::filesystem::temp_directory_path() / ("metrics_logger." + std::to_string(::getpid())))
          .string();
  Targets targets_{.power = Watts(350)};
  RoutingStats stats_{.layers = 2, .experts = 4, .tokens = 2, .counts = {1, 1, 0, 0, 2, 0, 0, 0}};
};

TEST_F(MetricsLoggerFiles, EveryColumnHasACellInEveryRow) {
  MetricsLogger logger(folder_, 2, 4);
  GpuReading sensed;
  sensed.power_instant = {
      .value = Watts(351.5), .read_at = Seconds(0.1), .changed_at = Seconds(0.0)};
  logger.add({.strategy = "BASELINE", .at = Seconds(0.1), .targets = targets_, .stats = stats_});
  logger.add(
      {.strategy = "BASELINE",
       .at = Seconds(0.2),
       .targets = targets_,
       .sensed = &sensed,
       .stats = stats_,
       .control = {.losses = ControllerState::Losses{.total = 0.5}, .fallback = "no, not now"}});
  const auto rows = read("metrics.csv");
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_EQ(rows[0], metrics_header(2));
  EXPECT_EQ(rows[1].size(), rows[0].size());
  EXPECT_EQ(rows[2].size(), rows[0].size() + 1);  // the quoted comma
  const auto at = [&](const std::string& name) {
    return static_cast<std::size_t>(std::find(rows[0].begin(), rows[0].end(), name) -
                                    rows[0].begin());
  };
  EXPECT_EQ(rows[1][at("power_instant_w")], "");
  EXPECT_EQ(rows[2][at("power_instant_w")], "351.5");
  EXPECT_EQ(rows[2][at("power_unchanged_s")], "0.2");
  EXPECT_EQ(rows[1][at("active_experts_layer_0")], "2");
  EXPECT_EQ(rows[1][at("active_experts_layer_1")], "1");
  EXPECT_EQ(rows[1][at("active_experts")], "1.5");
  EXPECT_EQ(rows[1][at("loss_total")], "");
  EXPECT_EQ(rows[2][at("loss_total")], "0.5");
  EXPECT_EQ(rows[2][at("power_target_w")], "350");
  EXPECT_EQ(rows[2][at("fallback")], "\"no");
}

TEST_F(MetricsLoggerFiles, AnEnergyCounterOfMonthsKeepsItsMillijoules) {
  MetricsLogger logger(folder_, 2, 4);
  GpuReading sensed;
  for (const double joules : {300000000.123, 300000000.124, 20000000000.001}) {
    sensed.energy.value = Joules(joules);
    logger.add({.strategy = "BASELINE",
                .at = Seconds(0.1),
                .targets = targets_,
                .sensed = &sensed,
                .stats = stats_});
  }
  const auto rows = read("metrics.csv");
  const auto energy = static_cast<std::size_t>(
      std::find(rows[0].begin(), rows[0].end(), "energy_counter_j") - rows[0].begin());
  EXPECT_EQ(rows[1][energy], "300000000.123");
  EXPECT_EQ(rows[2][energy], "300000000.124");
  EXPECT_EQ(rows[3][energy], "20000000000.001");
}

TEST_F(MetricsLoggerFiles, ExpertUsageIsASumASecond) {
  MetricsLogger logger(folder_, 2, 4);
  for (const char* strategy : {"BASELINE", "REDUCED_K"}) {
    for (int tick = 1; tick <= 15; ++tick) {
      logger.add({.strategy = strategy,
                  .at = Seconds(0.1 * tick),
                  .targets = targets_,
                  .step = {.tick = Seconds(0.1)},
                  .stats = stats_});
    }
    logger.finish_strategy();
  }
  const auto rows = read("expert_usage.csv");
  ASSERT_EQ(rows.size(), 1U + 2 * 2 * 2);
  EXPECT_EQ(rows[1], (std::vector<std::string>{"BASELINE", "1", "0", "10", "10", "0", "0"}));
  EXPECT_EQ(rows[2], (std::vector<std::string>{"BASELINE", "1", "1", "20", "0", "0", "0"}));
  EXPECT_EQ(rows[3], (std::vector<std::string>{"BASELINE", "1.5", "0", "5", "5", "0", "0"}));
  EXPECT_EQ(rows[5], (std::vector<std::string>{"REDUCED_K", "1", "0", "10", "10", "0", "0"}));
}

TEST_F(MetricsLoggerFiles, ExpertBiasIsAMeanASecondAndZeroWithoutAPlan) {
  MetricsLogger logger(folder_, 2, 4);
  RoutingPlan plan(2, 4, 2);
  for (int tick = 1; tick <= 10; ++tick) {
    plan.selection_bias(1)[3] = tick <= 5 ? 0.5F : -0.25F;
    logger.add({.strategy = "KERNEL_AWARE_TTHA",
                .at = Seconds(0.1 * tick),
                .targets = targets_,
                .step = {.tick = Seconds(0.1)},
                .stats = stats_,
                .plan = &plan});
  }
  logger.add({.strategy = "KERNEL_AWARE_TTHA",
              .at = Seconds(1.1),
              .targets = targets_,
              .step = {.tick = Seconds(0.1)},
              .stats = stats_});
  logger.finish_strategy();
  const auto rows = read("expert_bias.csv");
  ASSERT_EQ(rows.size(), 1U + 2 * 2);
  EXPECT_EQ(rows[0][3], "expert_0_bias");
  EXPECT_EQ(rows[1], (std::vector<std::string>{"KERNEL_AWARE_TTHA", "1", "0", "0", "0", "0", "0"}));
  EXPECT_EQ(rows[2],
            (std::vector<std::string>{"KERNEL_AWARE_TTHA", "1", "1", "0", "0", "0", "0.125"}));
  EXPECT_EQ(rows[4],
            (std::vector<std::string>{"KERNEL_AWARE_TTHA", "1.1", "1", "0", "0", "0", "0"}));
}

}  // namespace
}  // namespace thermoe
