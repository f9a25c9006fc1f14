// SPDX-License-Identifier: Apache-2.0
#include "run/run_replay.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "core/errors.h"
#include "experiment_fixture.h"
#include "machine/simulated/plant_config.h"
#include "run/run_folder.h"

namespace thermoe {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

const std::string kData = std::string(THERMOE_SOURCE_DIR) + "/data/h100/";

/// A run of the simulated GPU in a folder, in the place of a real one's.
class Replay : public RunExperiment {
 protected:
  Replay() { record(R"({"strategies": ["BASELINE", "KERNEL_AWARE_TTHA"]})"); }

  void record(const std::string& changes) {
    const Experiment e = experiment(changes);
    run(e);
    write_config(folder_, load_inputs(e));
  }
  ReplayHeat plant_heat() const { return {.parameters = gpu_.thermal, .source = "plant.json"}; }
  RunReplay replayed(const KernelCostModel& costs) const {
    return replay(read_recorded_run(folder_), costs, gpu_, plant_heat());
  }
  /// Changes every cell of a column of metrics.csv.
  void rewrite(Metric metric, const std::function<std::string(const std::string&)>& change) const {
    std::ifstream in(folder_ + "/metrics.csv");
    std::string line, text;
    std::getline(in, line);
    const auto names = metrics_header(4);
    const auto place = std::ranges::find(names, column_name(metric)) - names.begin();
    for (text = line + "\n"; std::getline(in, line);) {
      std::size_t from = 0;
      for (std::ptrdiff_t i = 0; i < place; ++i) from = line.find(',', from) + 1;
      const std::size_t to = line.find(',', from);
      text += line.substr(0, from) + change(line.substr(from, to - from)) + line.substr(to) + "\n";
    }
    std::ofstream(folder_ + "/metrics.csv") << text;
  }

  SimulatedGpuConfig gpu_ = read_plant(kData + "plant.json");
  KernelCostModel plant_ = KernelCostModel::load(kData + "plant_cost_model.json");
};

TEST_F(Replay, ARunIsPredictedByTheCostsAndTheHeatThatMadeIt) {
  const RunReplay result = replayed(plant_);
  ASSERT_EQ(result.turns.size(), 2U);
  EXPECT_EQ(result.turns[1].name, "KERNEL_AWARE_TTHA");
  for (const ReplayTurn& turn : result.turns) {
    EXPECT_NEAR(turn.all.time.value, 30.0, 1e-6);
    EXPECT_NEAR(turn.beside_tenant.time.value, 10.0, 1e-6);
    // The plant idles 0.7 W above what its cost model says.
    EXPECT_NEAR(turn.alone.power_error().value(), 0.0, 0.005);
    EXPECT_NEAR(turn.beside_tenant.power_error().value(), 0.0, 0.005);
    EXPECT_NEAR(turn.all.step_error().value(), 0.0, 0.002);
    // The first temperature is of the first tick's end, and taken for that of its beginning.
    EXPECT_LT(turn.all.temperature_rms.value(), 1.0);
  }
  EXPECT_NEAR(result.whole.all.time.value, 60.0, 1e-6);
  EXPECT_TRUE(result.simulated);
}

TEST_F(Replay, ACostModelThatIsWrongIsShownToBe) {
  const RunReplay result = replayed(plant_.with_energy_scale(1.2));
  const ReplayFigures& figures = result.turns[0].alone;
  const double above_idle = figures.measured->value - plant_.active_idle().value;
  EXPECT_NEAR((*figures.predicted - *figures.measured).value, 0.2 * above_idle, 3.0);
  EXPECT_GT(figures.temperature_rms.value(), 1.0);
  EXPECT_THAT(replay_text(result), HasSubstr("BASELINE"));
}

TEST_F(Replay, WhatWasMeasuredIsOnlyComparedWith) {
  const RunReplay before = replayed(plant_);
  rewrite(Metric::kPower, [](const std::string&) { return "500"; });
  rewrite(Metric::kStepTime, [](const std::string&) { return "1"; });
  const RunReplay after = replayed(plant_);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(after.turns[i].all.predicted, before.turns[i].all.predicted);
    EXPECT_EQ(after.turns[i].all.predicted_step, before.turns[i].all.predicted_step);
    EXPECT_NEAR(after.turns[i].all.measured->value, 500.0, 1e-9);
  }
  EXPECT_EQ(after.whole.all.temperature_rms, before.whole.all.temperature_rms);
}

TEST_F(Replay, WhatWasNotMeasuredIsLeftOutAndNotZero) {
  rewrite(Metric::kPower, [](const std::string&) { return ""; });
  rewrite(Metric::kTemperature, [](const std::string&) { return ""; });
  const RunReplay result = replayed(plant_);
  EXPECT_FALSE(result.whole.all.measured || result.whole.all.power_error() ||
               result.whole.all.temperature_rms);
  EXPECT_TRUE(result.whole.all.step_error());
  EXPECT_TRUE(replay_json(result)["whole"]["power_error_percent"].is_null());
  EXPECT_THROW(fit_heat(read_recorded_run(folder_), gpu_.thermal, Watts(130)), UsageError);
}

TEST_F(Replay, HeatIsFittedToOneRunAndJudgedOnAnother) {
  // Another card: half as hot. What its first run tells predicts its second, the plant's file not.
  ThermalParameters other = gpu_.thermal;
  other.ambient = Celsius(35.0);
  for (ThermalPole& pole : other.poles) pole.resistance *= 0.5;
  const auto run_of_other_card = [&](const std::string& changes) {
    const Experiment e = experiment(changes);
    ExperimentInputs inputs = load_inputs(e);
    inputs.gpu.thermal = other;
    SyntheticDecoder model(decoder_);
    ForcedDecode decoder(model, inputs.texts->decoded, stream_options(e));
    ForcedDecode calibration(model, inputs.texts->calibration, stream_options(e));
    run_on(inputs, decoder, calibration);
    write_config(folder_, inputs);
    return read_recorded_run(folder_);
  };
  const RecordedRun first = run_of_other_card(R"({"strategies": ["BASELINE", "STATIC_OPTIMAL"]})");
  const RecordedRun second =
      run_of_other_card(R"({"strategies": ["KERNEL_AWARE_TTHA"], "targets": {"power_w": 250}})");
  const ReplayHeat heat = fit_heat(first, gpu_.thermal, plant_.active_idle());
  EXPECT_LT(heat.fitted_rms.value(), 0.5);
  EXPECT_LT(replay(second, plant_, gpu_, heat).whole.all.temperature_rms.value(), 0.6);
  EXPECT_GT(replay(second, plant_, gpu_, plant_heat()).whole.all.temperature_rms.value(), 2.0);
}

TEST_F(Replay, TextAndJsonSayWhoseCostsAndWhoseHeat) {
  const RunReplay result = replayed(plant_);
  EXPECT_THAT(replay_text(result),
              AllOf(HasSubstr(", of simulated NVIDIA H100 80GB HBM3, run again on the "
                              "simulated GPU"),
                    HasSubstr("plant_cost_model.json (derived, NVIDIA H100 80GB HBM3), expert "
                              "layers only, interpolated; idle 130.0 W"),
                    HasSubstr("of plant.json: ambient 42.2 C")));
  const nlohmann::json json = replay_json(result);
  EXPECT_EQ(json["turns"].size(), 2U);
  EXPECT_NEAR(json["whole"]["beside_tenant"]["seconds"].get<double>(), 20.0, 1e-6);
  EXPECT_EQ(json["heat"]["poles"].size(), 3U);
}

TEST_F(Replay, WhatCannotBeReplayedIsRefusedWithTheReason) {
  EXPECT_THROW(read_recorded_run(folder_ + "/none"), UsageError);
  EXPECT_THROW(replayed(KernelCostModel({.path = "empty.json"}, {})), UsageError);
  RecordedRun foreign = read_recorded_run(folder_);
  foreign.experiment.engine.name = "engine 1";
  try {
    replay(foreign, plant_, gpu_, plant_heat());
    ADD_FAILURE() << "of an engine that the costs do not know";
  } catch (const UsageError& e) {
    EXPECT_THAT(e.what(), HasSubstr("config.json: /engine/name engine 1: "));
  }
  record(R"({"duration_s": 1, "disturbances": null, "expert_type": "mixed",
             "strategies": ["BASELINE"]})");
  EXPECT_THROW(replayed(plant_), UsageError) << "of two precisions";
  record(R"({"duration_s": 1, "disturbances": null, "strategies": ["BASELINE"]})");
  rewrite(Metric::kTime, [](const std::string&) { return "0.1"; });
  EXPECT_THROW(read_recorded_run(folder_), FormatError) << "time must pass";
  record(R"({"duration_s": 1, "disturbances": null, "strategies": ["BASELINE"]})");
  rewrite(Metric::kBandwidthTaken, [](const std::string&) { return "1"; });
  EXPECT_THROW(read_recorded_run(folder_), FormatError) << "none is left";
  for (const Metric metric : {Metric::kPower, Metric::kTemperature}) {
    record(R"({"duration_s": 1, "disturbances": null, "strategies": ["BASELINE"]})");
    rewrite(metric, [](const std::string&) { return "1e308"; });
    EXPECT_THROW(read_recorded_run(folder_), FormatError) << "no mean of such is a number";
  }
}

}  // namespace
}  // namespace thermoe
