// SPDX-License-Identifier: Apache-2.0
// A run on a GpuMachine whose device and sensors are fakes: all of it is real but the GPU. What
// vanishes in the middle ends the run, and its files stay.
#include <gmock/gmock.h>

#include "core/errors.h"
#include "experiment_fixture.h"
#include "fake_step_load.h"
#include "live_gpu.h"
#include "machine/gpu/gpu_machine.h"
#include "report/run_data.h"
#include "report/verdict.h"

namespace thermoe {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class GpuMachineRun : public RunExperiment {
 protected:
  RunResult run_there(double seconds) {
    const Experiment e = experiment(fmt::format(
        R"({{"duration_s": {}, "tick_s": 0.05, "disturbances": null, "strategies": ["BASELINE"]}})",
        seconds));
    SyntheticDecoder model(decoder_);
    ExperimentInputs inputs = load_inputs(e);
    inputs.machine = {.device = "Lent GPU", .real_time = true};
    ForcedDecode decoder(model, inputs.texts->decoded, stream_options(e));
    ForcedDecode calibration(model, inputs.texts->calibration, stream_options(e));
    FakeStepLoad load(decoder.router());
    int staged = 0;
    load.on_stage = [&](const StagedStep&) {
      if (++staged == 10) happens_(load);
    };
    make_machine_ = [&](const Turn&) {
      return std::make_unique<GpuMachine>(
          GpuMachineOptions{.load = load,
                            .router = decoder.router(),
                            .open_source = [this](Seconds) { return gpu_.open(); },
                            .truth_period = Seconds(0.002)});
    };
    return run_on(inputs, decoder, calibration);
  }
  /// What it says of a thing that happens in the middle.
  std::string error_of(std::function<void(FakeStepLoad&)> happens) {
    happens_ = std::move(happens);
    try {
      run_there(30);
    } catch (const UsageError& error) {
      return fmt::format("wrongly a UsageError: {}", error.what());
    } catch (const Error& error) {
      return error.what();
    }
    return "nothing was thrown";
  }
  /// The folder holds an interrupted run that a report draws, and nothing of it is simulated.
  void expect_readable() const {
    EXPECT_FALSE(std::filesystem::exists(folder_ + "/summary.json"));
    const RunData run = read_run(folder_);
    EXPECT_TRUE(run.interrupted);
    EXPECT_FALSE(run.ticks->torn);
    EXPECT_FALSE(run.summary.simulated);
    EXPECT_GT(run.ticks->strategies.at(0).count(), 5U);
    EXPECT_THAT(verdict(run),
                AllOf(HasSubstr("interrupted"), testing::Not(HasSubstr("simulated"))));
  }

  LiveGpu gpu_{};
  std::function<void(FakeStepLoad&)> happens_ = [](FakeStepLoad&) {};
};

TEST_F(GpuMachineRun, IsWholeAndMeasured) {
  const RunResult result = run_there(2);
  ASSERT_TRUE(result.complete);
  const StrategySummary& baseline = named(result, "BASELINE");
  EXPECT_NEAR(baseline.mean_power.value, LiveGpu::kWatts, 0.2 * LiveGpu::kWatts);
  EXPECT_EQ(baseline.near_ties, 0U);
  EXPECT_TRUE(baseline.late_share && baseline.repeated_share && baseline.late_decision_share);
  EXPECT_THAT(notes_.lines, testing::IsEmpty());
}

TEST_F(GpuMachineRun, EndsWithADeviceThatIsGone) {
  EXPECT_THAT(error_of([](FakeStepLoad& load) { load.fails = true; }),
              AllOf(HasSubstr("the steps on the GPU ended"), HasSubstr("fell off the bus")));
  expect_readable();
}

TEST_F(GpuMachineRun, EndsWithADriverThatIsUnloaded) {
  EXPECT_THAT(error_of([this](FakeStepLoad&) { gpu_.throws = true; }),
              AllOf(HasSubstr("sensors vanished"), HasSubstr("the driver was unloaded")));
  expect_readable();
}

TEST_F(GpuMachineRun, EndsWithAGpuThatIsLost) {
  EXPECT_THAT(error_of([this](FakeStepLoad&) { gpu_.lost = true; }),
              AllOf(HasSubstr("sensors vanished"), HasSubstr("lost. Remedy: look at dmesg")));
  expect_readable();
}

TEST_F(GpuMachineRun, EndsWithAStepThatHostAndDeviceRouteDifferently) {
  EXPECT_THAT(error_of([](FakeStepLoad& load) { load.misroutes = true; }),
              AllOf(HasSubstr("layer 0"), HasSubstr("token 0")));
  expect_readable();
}

TEST_F(GpuMachineRun, StopsAfterTheTickUnderWay) {
  notes_.stop = &stop_;
  happens_ = [this](FakeStepLoad&) { stop_ = true; };
  EXPECT_FALSE(run_there(30).complete);
  expect_readable();
}

TEST_F(GpuMachineRun, ACounterThatStandsIsSaidOnceAndTheRestOfTheTimeCounts) {
  happens_ = [this](FakeStepLoad&) { gpu_.counter_stands = true; };
  const RunResult result = run_there(4);
  ASSERT_TRUE(result.complete);
  EXPECT_THAT(notes_.lines,
              testing::ElementsAre(AllOf(HasSubstr("BASELINE at "), HasSubstr("no true watts: the "
                                                                              "energy counter has "
                                                                              "stood still"))));
  const StrategySummary& baseline = named(result, "BASELINE");
  EXPECT_LT(baseline.energy_share, 0.9);
  EXPECT_GT(baseline.mean_power.value, 0.5 * LiveGpu::kWatts) << "what is not known is not zero";
}

}  // namespace
}  // namespace thermoe
