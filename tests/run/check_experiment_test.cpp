// SPDX-License-Identifier: Apache-2.0
#include "run/check_experiment.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "core/errors.h"
#include "experiment_fixture.h"
#include "run/provenance.h"

namespace thermoe {
namespace {

using CheckExperiment = RunExperiment;

TEST_F(CheckExperiment, WattsOfAWiderRouterAreSaidToBeThoseOfALargerBatch) {
  const auto line = [](const std::string& changes, double active) {
    return breadth_line(load_inputs(experiment(changes)), active);
  };
  EXPECT_EQ(line(R"({"batch": 16})", 73.5),
            "router: 73.5 of 128 experts a layer active for 16 tokens under BASELINE, 89 % of what "
            "uniform picks give; 48.8 are published for the real Qwen3-30B-A3B (arXiv 2511.02237): "
            "the watts are those of a larger batch of it");
  EXPECT_THAT(line(R"({"batch": 16})", 49.0),
              testing::EndsWith("published for the real Qwen3-30B-A3B (arXiv 2511.02237)"));
  EXPECT_THAT(line(R"({"batch": 32})", 100.0), testing::Not(testing::HasSubstr("published")));
}

TEST_F(CheckExperiment, ARunThatWouldNotFitInMemoryIsRefusedBeforeItBegins) {
  const auto refused = [](const std::string& changes) -> std::string {
    try {
      check_experiment(load_inputs(experiment(changes)), {});
    } catch (const FormatError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(refused(R"({"duration_s": 20000})"), "");
  EXPECT_THAT(refused(R"({"duration_s": 50000})"),
              testing::HasSubstr("/kl_every: is 1: BASELINE's predictions to compare with would "
                                 "take 8.19 GB of memory, more than 4; raise it to 3 or more"));
  EXPECT_EQ(refused(R"({"duration_s": 50000, "kl_every": 3})"), "");
  EXPECT_EQ(refused(R"({"duration_s": 50000, "kl_every": 0})"), "");
  EXPECT_THAT(refused(R"({"duration_s": 50000, "tick_s": 0.02})"),
              testing::HasSubstr("/duration_s: is 50000: 2.5e+06 ticks of 0.02 s"));
  EXPECT_THAT(refused(R"({"duration_s": 50000, "kl_every": 0, "decode_steps_per_tick": 1000})"),
              testing::HasSubstr("/decode_steps_per_tick: is 1000: 5e+08 decode steps"));
}

TEST_F(CheckExperiment, WhatNoRealGpuCanDoIsRefusedBeforeOneIsTouched) {
  const auto refused = [](const std::string& disturbances) -> std::string {
    try {
      check_experiment(
          load_inputs(experiment(R"({"machine": "gpu", "disturbances": )" + disturbances + "}")),
          {});
    } catch (const FormatError& error) {
      return error.what();
    }
    return "";
  };
  const std::string tenant = R"({"kind": "background", "from_s": 1, "to_s": 2, )";
  EXPECT_EQ(refused("[" + tenant + R"("power_fraction": 0.1}])"), "");
  EXPECT_THAT(refused("[" + tenant + R"("power_w": 60}])"),
              testing::HasSubstr("/disturbances/0/power_fraction: is missing: on a real GPU"));
  EXPECT_THAT(
      refused("[" + tenant + R"("power_fraction": 0.1}, )" + tenant + R"("power_fraction": 0.2}])"),
      testing::HasSubstr("/disturbances/1/power_fraction: is 0.2, the one before 0.1"));
  EXPECT_THAT(refused(R"([{"kind": "ambient", "from_s": 1, "to_s": 2, "offset_c": 5}])"),
              testing::HasSubstr("/disturbances/0/kind: is ambient"));
  EXPECT_EQ(refused(R"([{"kind": "sensor_dropout", "from_s": 1, "to_s": 2}])"), "");
}

TEST_F(CheckExperiment, AnyShapeThatTheCostModelsHoldIsChargedWithItsLayers) {
  // A model of half the experts and picks, whose layers cost what the file says of that shape.
  const auto with_shape = [&](const std::string& name) {
    nlohmann::json costs =
        read_json_file(std::string(THERMOE_SOURCE_DIR) + "/data/h100/" + name + ".json");
    nlohmann::json& entry = costs["entries"][0];
    entry["shape"] = {64, 4, 1024, 512};
    nlohmann::json rows = nlohmann::json::array();
    for (const auto& row : entry["rows"]) {
      if (row["active_experts"] <= 64) rows.push_back(row);
    }
    entry["rows"] = rows;
    const std::string path = folder_ + "/" + name + ".json";
    std::ofstream(path) << costs;
    return path;
  };
  const std::string changes = fmt::format(
      R"({{"duration_s": 2, "disturbances": null, "strategies": ["BASELINE"], "cost_model": "{}",
           "plant": {{"cost_model": "{}"}},
           "costed_as": {{"name": "Small-MoE", "layers": 24, "shape": [64, 4, 1024, 512]}}}})",
      with_shape("kernel_cost_model"), with_shape("plant_cost_model"));
  decoder_ = {.experts = 64, .k = 4};
  const Experiment e = experiment(changes);
  check_experiment(load_inputs(e), {.experts = 64, .top_k = 4});
  const RunResult result = run(e);
  EXPECT_THAT(
      result.summary.costs,
      testing::AllOf(
          testing::StartsWith("decisions: shipped model; costs: Small-MoE shape (24 layers, 64 "
                              "experts of 1024 x 512, top-4), simulated; expert layers only; "),
          testing::HasSubstr("; the controller believes " + folder_ + "/kernel_cost_model.json"),
          testing::HasSubstr("; the simulated GPU charges " + folder_ + "/plant_cost_model.json"),
          testing::HasSubstr("; router: ")));
  EXPECT_THAT(result.summary.costs, testing::Not(testing::HasSubstr("published")));
  nlohmann::json deeper = parse_json(changes, "changes");
  deeper["costed_as"]["layers"] = 48;
  const RunResult twice = run(experiment(deeper.dump()));
  EXPECT_NEAR(*named(twice, "BASELINE").p50_step / *named(result, "BASELINE").p50_step, 2.0, 0.01);
  decoder_ = {};
  try {
    check_experiment(
        load_inputs(
            experiment(R"({"costed_as": {"name": "x", "layers": 4, "shape": [128, 8, 99, 99]}})")),
        {});
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("moe_experts [128, 8, 99, 99]"));
    EXPECT_THAT(error.what(), testing::HasSubstr("moe_experts [128, 8, 2048, 768] bf16"));
  }
}

TEST_F(CheckExperiment, CostsCalibratedOnARealGpuAreBelievedOnTheSimulatedOneAndSaidToBe) {
  nlohmann::json costs =
      read_json_file(std::string(THERMOE_SOURCE_DIR) + "/data/h100/kernel_cost_model.json");
  for (nlohmann::json& entry : costs["entries"]) entry["source"] = "calibrated";
  costs["sensors"] = {{"delay_s", 0.005}, {"window_s", 0.05}};
  const std::string path = folder_ + "/calibrated.json";
  std::ofstream(path) << costs;
  const RunResult result = run(experiment(fmt::format(
      R"({{"duration_s": 20, "strategies": ["KERNEL_AWARE_TTHA"], "cost_model": "{}"}})", path)));
  EXPECT_THAT(result.summary.costs,
              testing::HasSubstr("simulated; expert layers only; the controller believes " + path +
                                 " (calibrated), sensors 0.005 s late over 0.05 s"));
  EXPECT_LE(named(result, "KERNEL_AWARE_TTHA").targets[0].violation_fraction, 0.05);
}

TEST_F(CheckExperiment, AModelIsChargedByTheNameThatTheCostModelGivesIt) {
  nlohmann::json costs =
      read_json_file(std::string(THERMOE_SOURCE_DIR) + "/data/h100/kernel_cost_model.json");
  costs["models"] = {{{"name", "Half"}, {"layers", 24}, {"shape", {128, 8, 2048, 768}}},
                     {{"name", "Twice"}, {"layers", 96}, {"shape", {128, 8, 2048, 768}}}};
  const std::string file = folder_ + "/costs.json";
  std::ofstream(file) << costs;
  const auto named = [&](const std::string& name) {
    return load_inputs(
        experiment(fmt::format(R"({{"cost_model": "{}", "costed_as": "{}"}})", file, name)));
  };
  EXPECT_EQ(named("Half").shape.layers, 24);
  EXPECT_EQ(layer_repeat(named("Twice"), 2), 48.0);
  check_experiment(named("Half"), {});
  EXPECT_EQ(named("Qwen3-30B-A3B").shape.layers, 48) << "the plant's file names it";
  try {
    named("Halv");
    FAIL();
  } catch (const FormatError& error) {
    EXPECT_EQ(error.key(), "/costed_as");
    EXPECT_THAT(error.what(),
                testing::HasSubstr("plant_cost_model.json names (did you mean "
                                   "\"Half\"?); they name: Half, Twice, Qwen3-30B-A3B"));
  }
}

TEST_F(CheckExperiment, ATenantGivenByItsFractionTakesItsShareOfTheWattsBetweenIdleAndLimit) {
  const Experiment e = experiment(R"({"plant": {"idle_offset_w": 20}, "disturbances": [
      {"kind": "background", "from_s": 1, "to_s": 2, "power_fraction": 0.25},
      {"kind": "background", "from_s": 1, "to_s": 2, "power_w": 60}]})");
  const ExperimentInputs inputs = load_inputs(e);
  const std::vector<Disturbance>& tenants = inputs.experiment.disturbances;
  EXPECT_EQ(tenants[0].power, 0.25 * (inputs.gpu.power_limit - inputs.gpu.idle_active));
  EXPECT_NEAR(tenants[0].power.value, 0.25 * (700 - 150), 5) << "idle is the plant's, offset too";
  EXPECT_EQ(tenants[1].power, Watts(60));
  EXPECT_EQ(to_json(inputs.experiment)["disturbances"], to_json(e)["disturbances"])
      << "the run's files keep the words of the experiment";
}

TEST_F(CheckExperiment, SensorLagIsTheCostModelsUnlessTheExperimentSaysOtherwise) {
  EXPECT_EQ(load_inputs(experiment()).experiment.control.sensor_delay, Seconds(0.1));
  EXPECT_EQ(load_inputs(experiment()).experiment.control.sensor_window, Seconds(0.025));
  nlohmann::json costs =
      read_json_file(std::string(THERMOE_SOURCE_DIR) + "/data/h100/kernel_cost_model.json");
  costs["sensors"] = {{"delay_s", 0.3}, {"window_s", 0.05}};
  const std::string file = folder_ + "/costs.json";
  std::ofstream(file) << costs;
  std::vector<SensorLag> told;
  make_controller_ = [&](const ControllerConfig& config) {
    told.push_back(config.lag);
    return controller_without_adapter(config);
  };
  const std::string changes = R"({{"duration_s": 1, "disturbances": null,
                                   "strategies": ["BASELINE"], "cost_model": "{}"{}}})";
  run(experiment(fmt::format(fmt::runtime(changes), file, "")));
  run(experiment(
      fmt::format(fmt::runtime(changes), file, R"(, "control": {"sensor_delay_s": 0.2})")));
  EXPECT_THAT(told, testing::ElementsAre(SensorLag{Seconds(0.3), Seconds(0.05)},
                                         SensorLag{Seconds(0.2), Seconds(0.05)}));
}

TEST_F(CheckExperiment, AModelOfOtherNumbersThanTheChargedShapeIsRefused) {
  const Experiment e = experiment();
  try {
    check_experiment(load_inputs(e), {.experts = 64});
    FAIL();
  } catch (const FormatError& error) {
    EXPECT_EQ(error.key(), "/costed_as");
    EXPECT_THAT(error.what(), testing::HasSubstr("64"));
  }
}

TEST_F(CheckExperiment, AFileThatIsNotThereIsNamedByItsKey) {
  for (const auto& [changes, key] :
       {std::pair{R"({"cost_model": "none.json"})", "/cost_model"},
        std::pair{R"({"plant": {"cost_model": "none.json"}})", "/plant/cost_model"},
        std::pair{R"({"plant": {"file": "none.json"}})", "/plant/file"},
        std::pair{R"({"text": {"file": "none.bin"}})", "/text/file"},
        std::pair{R"({"text": {"calibration_index": "none.json"}})", "/text/calibration_index"}}) {
    try {
      load_inputs(experiment(changes));
      ADD_FAILURE() << changes;
    } catch (const FormatError& error) {
      EXPECT_EQ(error.key(), key);
    }
  }
}

}  // namespace
}  // namespace thermoe
