// SPDX-License-Identifier: Apache-2.0
// The loop on a machine that is not the simulated one: it decodes at a pace of its own and does not
// know everything of itself.
#include <gmock/gmock.h>

#include "experiment_fixture.h"

namespace thermoe {
namespace {

/// Says 200 W to whoever asks.
class SteadySensor final : public Source {
 public:
  std::string_view name() const override { return "steady"; }

 private:
  Snapshot poll(Seconds) override {
    Snapshot snapshot{.gpus = std::vector<GpuReading>(1)};
    snapshot.gpus[0].power_instant.value = Watts(200);
    return snapshot;
  }
};

/// Three decode steps a tick, but none in the third tick; its counter is read every other tick.
class SlowMachine final : public Machine {
 public:
  explicit SlowMachine(std::vector<Seconds>& periods) : periods_(periods) {}
  const Clock& clock() const override { return clock_; }
  std::unique_ptr<Source> open_sensors() override { return std::make_unique<SteadySensor>(); }
  TickReport run_tick(Seconds until, Seconds period, const NextStep& next) override {
    periods_.push_back(period);
    const auto tick = periods_.size();
    for (int i = 0; tick != 3 && i < 3; ++i) {
      const StepLoads step = next(std::nullopt);
      EXPECT_EQ(step.plan.header().version, tick) << "the newest plan";
      EXPECT_EQ(step.sample.tokens, step.stats.tokens);
    }
    clock_.advance_to(until);
    TickReport report{.step_time = Seconds(0.01), .step_period = period, .steps = 3};
    if (tick % 2 == 0) report.truth = {.energy = Joules(20), .mean_power = Watts(200)};
    return report;
  }

 private:
  VirtualClock clock_{};
  std::vector<Seconds>& periods_;
};

class OtherMachine : public RunExperiment {
 protected:
  RunResult run_there(const std::string& strategy) {
    const Experiment e = experiment(fmt::format(
        R"({{"duration_s": 1, "disturbances": null, "strategies": ["{}"]}})", strategy));
    SyntheticDecoder model(decoder_);
    ExperimentInputs inputs = load_inputs(e);
    inputs.machine = {.device = "Lent GPU", .driver = "1.2", .simulated = false};
    ForcedDecode decoder(model, inputs.texts->decoded, stream_options(e));
    ForcedDecode calibration(model, inputs.texts->calibration, stream_options(e));
    make_machine_ = [this](const Turn&) { return std::make_unique<SlowMachine>(periods_); };
    return run_on(inputs, decoder, calibration);
  }
  std::vector<std::string> cells(Metric metric) const {
    CsvReader csv(folder_ + "/metrics.csv");
    std::vector<std::string> values;
    while (csv.next()) values.emplace_back(csv.cell(csv.need(column_name(metric))));
    return values;
  }

  std::vector<Seconds> periods_{};
};

TEST_F(OtherMachine, IsPacedByTheExperimentAndAskedForAsManyStepsAsItLikes) {
  const RunResult result = run_there("KERNEL_AWARE_TTHA");
  ASSERT_TRUE(result.complete);
  EXPECT_THAT(periods_, testing::AllOf(testing::SizeIs(10), testing::Each(Seconds(0.016))));
  EXPECT_EQ(named(result, "KERNEL_AWARE_TTHA").tokens_per_second, 3 * 16 * 10);
}

TEST_F(OtherMachine, LeavesEmptyWhatItDoesNotKnowAndIsNotCalledSimulated) {
  const RunResult result = run_there("BASELINE");
  EXPECT_FALSE(result.summary.simulated);
  EXPECT_EQ(result.summary.device, "Lent GPU");
  EXPECT_THAT(result.summary.costs, testing::Not(testing::HasSubstr("simulated")));
  EXPECT_THAT(cells(Metric::kSimulated), testing::Each("0"));
  EXPECT_THAT(cells(Metric::kTemperature), testing::Each(""));
  EXPECT_THAT(cells(Metric::kThrottled), testing::Each(""));
  EXPECT_THAT(cells(Metric::kPower),
              testing::ElementsAre("", "200", "", "200", "", "200", "", "200", "", "200"));
  EXPECT_THAT(cells(Metric::kPower1s), testing::Contains("200").Times(9)) << "from the first on";
  EXPECT_NEAR(named(result, "BASELINE").mean_power.value, 200, 1e-9);
  EXPECT_NEAR(named(result, "BASELINE").targets[0].mean, 200, 1e-9);
  EXPECT_EQ(cells(Metric::kBits)[2], "") << "nothing was decoded";
}

}  // namespace
}  // namespace thermoe
