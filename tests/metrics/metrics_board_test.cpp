// SPDX-License-Identifier: Apache-2.0
#include "metrics/metrics_board.h"

#include <gmock/gmock.h>

#include <limits>
#include <thread>

#include "metrics/exposition.h"

namespace thermoe {
namespace {

using testing::HasSubstr;
using testing::Not;

class Board : public ::testing::Test {
 protected:
  std::string page() const { return exposition(board_.collect(), ExpositionFormat::kText); }

  static GpuReading a_gpu() {
    return {.name = "NVIDIA H100",
            .uuid = "GPU-1",
            .index = 2,
            .temperature = {.value = Celsius(61.0)},
            .power_average = {.value = Watts(350.25)},
            .energy = {.value = Joules(1e9 + 0.5)},
            .sm_clock = {.value = Megahertz(1980.0)}};
  }

  VirtualClock clock_{};
  MetricsBoard board_{{.version = "1.2.3", .hostname = "node7"}, clock_};
};

TEST_F(Board, SaysItsVersionBeforeAnybodyPublishes) {
  EXPECT_EQ(page(),
            "# HELP thermoe_build_info 1, with the version of thermoe.\n"
            "# TYPE thermoe_build_info gauge\n"
            "thermoe_build_info{version=\"1.2.3\"} 1\n");
}

TEST_F(Board, AGpuHasTheLabelsOfDcgmAndItsReadingsInBaseUnits) {
  board_.publish({.source = "NVML", .snapshot = {.gpus = {a_gpu()}}});
  const std::string labels =
      "{gpu=\"2\",UUID=\"GPU-1\",gpu_name=\"NVIDIA H100\",Hostname=\"node7\"} ";
  EXPECT_THAT(page(), HasSubstr("\nthermoe_gpu_power_watts" + labels + "350.25\n"));
  EXPECT_THAT(page(), HasSubstr("\nthermoe_gpu_energy_joules_total" + labels + "1000000000.5\n"));
  EXPECT_THAT(page(), HasSubstr("\nthermoe_gpu_temperature_celsius" + labels + "61\n"));
  EXPECT_THAT(page(), HasSubstr("\nthermoe_gpu_sm_clock_hertz" + labels + "1980000000\n"));
  EXPECT_THAT(page(), HasSubstr("\nthermoe_source_up{source=\"NVML\",Hostname=\"node7\"} 1\n"));
}

TEST_F(Board, AnAbsentReadingIsAbsentFromThePage) {
  GpuReading gpu = a_gpu();
  gpu.power_average.value.reset();
  board_.publish({.source = "NVML", .snapshot = {.gpus = {gpu}}});
  EXPECT_THAT(page(), Not(HasSubstr("thermoe_gpu_power_watts")));
  EXPECT_THAT(page(), Not(HasSubstr("thermoe_gpu_power_instant_watts")));
  EXPECT_THAT(page(), Not(HasSubstr("thermoe_host")));
  EXPECT_THAT(page(), HasSubstr("thermoe_gpu_temperature_celsius"));
}

TEST_F(Board, WhatIsSimulatedSaysSo) {
  board_.publish({.source = "s", .snapshot = {.simulated = true, .gpus = {a_gpu()}}});
  board_.publish(ControlValues{.simulated = true, .activation_price = 0.5, .tokens = 3.0});
  for (const char* metric : {"thermoe_gpu_power_watts", "thermoe_source_up",
                             "thermoe_activation_price", "thermoe_tokens_total"}) {
    EXPECT_THAT(page(),
                testing::ContainsRegex(std::string("\n") + metric + "\\{[^}]*simulated=\"1\""));
  }
}

TEST_F(Board, AReadingThatGrewOldIsLeftOutAndItsSourceIsSaidToBeDown) {
  GpuReading gpu = a_gpu();
  gpu.temperature.read_at = Seconds(100.0);
  gpu.power_average.read_at = Seconds(98.0);
  board_.publish(
      {.source = "NVML", .snapshot = {.at = Seconds(100.0), .gpus = {gpu}}, .keep = Seconds(5.0)});
  clock_.advance_to(Seconds(4.0));  // the power is 6 s old
  EXPECT_THAT(page(), HasSubstr("thermoe_gpu_temperature_celsius{"));
  EXPECT_THAT(page(), Not(HasSubstr("thermoe_gpu_power_watts{")));
  EXPECT_THAT(page(), testing::ContainsRegex("thermoe_source_up\\{[^}]*\\} 1"));
  clock_.advance_to(Seconds(6.0));
  EXPECT_THAT(page(), Not(HasSubstr("thermoe_gpu_temperature_celsius{")));
  EXPECT_THAT(page(), testing::ContainsRegex("thermoe_source_up\\{[^}]*\\} 0"));
}

TEST_F(Board, ALaterSnapshotOfASourceReplacesTheEarlierAndAnotherSourceStays) {
  board_.publish({.source = "NVML", .snapshot = {.gpus = {a_gpu()}}});
  board_.publish({.source = "host",
                  .snapshot = {.host = {{.name = "RAPL package-0",
                                         .power = {.value = Watts(80.0)},
                                         .energy = {.value = Joules(7.0)},
                                         .temperature = {.value = Celsius(50.0)}}}}});
  GpuReading gpu = a_gpu();
  gpu.power_average.value = Watts(99.0);
  board_.publish({.source = "NVML", .snapshot = {.gpus = {gpu}}});
  EXPECT_THAT(page(), Not(HasSubstr(" 350.25\n")));
  EXPECT_THAT(page(), HasSubstr(" 99\n"));
  const std::string labels = "{sensor=\"RAPL package-0\",Hostname=\"node7\"} ";
  EXPECT_THAT(page(), HasSubstr("thermoe_host_power_watts" + labels + "80\n"));
  EXPECT_THAT(page(), HasSubstr("thermoe_host_energy_joules_total" + labels + "7\n"));
  EXPECT_THAT(page(), HasSubstr("thermoe_host_temperature_celsius" + labels + "50\n"));
}

TEST_F(Board, AnEnginesControllerHasVllmsLabelsAndItsLayers) {
  board_.publish({.labels = {{"model_name", "qwen3"}, {"engine", "0"}},
                  .strategy = "KERNEL_AWARE_TTHA",
                  .targets = {.power = Watts(350.0), .step_time = Seconds(0.016)},
                  .activation_price = 0.25,
                  .active_experts = {40, 41},
                  .kept_mass = 0.98,
                  .fallback = true,
                  .violated = false,
                  .step_period = Seconds(0.02)});
  const std::string who = "{model_name=\"qwen3\",engine=\"0\",strategy=\"KERNEL_AWARE_TTHA\"";
  for (const char* line :
       {"target@,kind=\"power\"} 350", "target@,kind=\"step_time\"} 0.016",
        "activation_price@} 0.25", "active_experts@,layer=\"0\"} 40",
        "active_experts@,layer=\"1\"} 41", "kept_mass_ratio@} 0.98", "fallback_active@} 1",
        "target_violated@} 0", "step_period_seconds@} 0.02"}) {
    std::string wanted = std::string("\nthermoe_") + line + "\n";
    wanted.replace(wanted.find('@'), 1, who);
    EXPECT_THAT(page(), HasSubstr(wanted));
  }
  for (const char* absent : {"kind=\"temperature\"", "step_time_seconds", "tokens_total",
                             "plan_at_floor", "run_time", "requests", "latency"}) {
    EXPECT_THAT(page(), Not(HasSubstr(absent)));
  }
}

TEST_F(Board, CountersGoOnFromOneStrategyToTheNextAndOutlastTheGauges) {
  ControlValues values{.labels = {{"experiment", "demo"}},
                       .strategy = "BASELINE",
                       .activation_price = 0.0,
                       .tokens = 10.0};
  board_.publish(values);
  values.strategy = "STATIC_OPTIMAL";
  values.tokens = 25.0;
  board_.publish(values);
  EXPECT_THAT(page(), Not(HasSubstr("BASELINE")));
  EXPECT_THAT(page(), HasSubstr("thermoe_tokens_total{experiment=\"demo\"} 25\n"));
  EXPECT_THAT(page(), HasSubstr("thermoe_activation_price{"));
  clock_.advance_to(Seconds(11.0));
  EXPECT_THAT(page(), HasSubstr("thermoe_tokens_total{experiment=\"demo\"} 25\n"));
  EXPECT_THAT(page(), Not(HasSubstr("thermoe_activation_price{")));
}

TEST_F(Board, LatenciesAreHistogramsWhoseBucketsAddUp) {
  ServingValues serving{.running = 12, .waiting = 3, .batch = 11.5, .finished = 40.0};
  serving.to_first_token = Histogram({0.25, 1.0});
  serving.to_first_token.add(0.25);  // a bound belongs to its own bucket
  serving.to_first_token.add(0.5);
  serving.to_first_token.add(7.0);
  serving.between_tokens = Histogram({0.02});
  serving.between_tokens.add(0.015, 100.0);
  board_.publish(ControlValues{.labels = {{"engine", "0"}}, .serving = serving});
  for (const char* line :
       {"# TYPE thermoe_time_to_first_token_seconds histogram",
        "thermoe_time_to_first_token_seconds_bucket{engine=\"0\",le=\"0.25\"} 1",
        "thermoe_time_to_first_token_seconds_bucket{engine=\"0\",le=\"1\"} 2",
        "thermoe_time_to_first_token_seconds_bucket{engine=\"0\",le=\"+Inf\"} 3",
        "thermoe_time_to_first_token_seconds_sum{engine=\"0\"} 7.75",
        "thermoe_time_to_first_token_seconds_count{engine=\"0\"} 3",
        "thermoe_inter_token_latency_seconds_bucket{engine=\"0\",le=\"0.02\"} 100",
        "thermoe_inter_token_latency_seconds_count{engine=\"0\"} 100",
        "thermoe_requests_running{engine=\"0\"} 12", "thermoe_requests_waiting{engine=\"0\"} 3",
        "thermoe_batch_sequences{engine=\"0\"} 11.5",
        "thermoe_requests_finished_total{engine=\"0\"} 40"}) {
    EXPECT_THAT(page(), HasSubstr(std::string("\n") + line + "\n"));
  }
}

TEST(MetricsHistogram, AValueThatIsNoNumberIsNone) {
  Histogram histogram({1.0});
  histogram.add(std::numeric_limits<double>::quiet_NaN());
  histogram.add(std::numeric_limits<double>::infinity());
  EXPECT_THAT(histogram.counts(), testing::Each(0.0));
  EXPECT_EQ(histogram.sum(), 0.0);
}

TEST_F(Board, IsReadWhileOthersPublish) {
  std::jthread publisher([this](const std::stop_token& stop) {
    for (int i = 0; i < 2000 && !stop.stop_requested(); ++i) {
      board_.publish({.source = "NVML", .snapshot = {.gpus = {a_gpu()}}});
      board_.publish(ControlValues{.active_experts = std::vector<int>(48, i), .tokens = 1.0 * i});
    }
  });
  for (int i = 0; i < 50; ++i) EXPECT_THAT(page(), HasSubstr("thermoe_build_info"));
}

}  // namespace
}  // namespace thermoe
