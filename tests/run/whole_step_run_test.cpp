// SPDX-License-Identifier: Apache-2.0
// Runs whose cost models know what a step costs beside its expert layers.
#include <gmock/gmock.h>

#include <algorithm>
#include <fstream>

#include "core/errors.h"
#include "experiment_fixture.h"
#include "run/provenance.h"

namespace thermoe {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class WholeStepRun : public RunExperiment {
 protected:
  /// A shipped cost model with 3 ms and 0.5 J of an engine's step beside its experts.
  std::string with_other(const std::string& name, const std::string& model = "Qwen3-30B-A3B",
                         double milliseconds = 3.0, const char* engine = "engine 1") const {
    nlohmann::json costs =
        read_json_file(std::string(THERMOE_SOURCE_DIR) + "/data/h100/" + name + ".json");
    costs["schema"] = 2;
    costs["models"].push_back({{"name", "Other"}, {"layers", 2}, {"shape", {64, 4, 512, 256}}});
    costs["other"] = {
        {{"model", model},
         {"engine", engine},
         {"source", "derived"},
         {"rows", {{{"batch", 16}, {"latency_us", 1e3 * milliseconds}, {"energy_uj", 500000.0}}}}}};
    const std::string path = folder_ + "/" + name + "_" + model + ".json";
    std::ofstream(path) << costs;
    return path;
  }
  /// Undisturbed, with these cost models.
  static std::string changes(const std::string& cost_model, const std::string& plant,
                             const std::string& more = "") {
    return fmt::format(R"({{"disturbances": null, "duration_s": 20, "cost_model": "{}",
                           "plant": {{"cost_model": "{}"}}{}}})",
                       cost_model, plant, more);
  }
  static double after_start(const std::vector<double>& values) {
    double sum = 0.0;
    for (std::size_t i = values.size() / 4; i < values.size(); ++i) sum += values[i];
    return sum / static_cast<double>(values.size() - values.size() / 4);
  }

  const std::string kCosts = "data/h100/kernel_cost_model.json";
  const std::string kPlant = "data/h100/plant_cost_model.json";
};

TEST_F(WholeStepRun, AStepTakesAndBurnsWhatTheFileSaysBesideItsExperts) {
  const auto at = [&](const std::string& plant) {
    const RunResult result =
        run(experiment(changes(kCosts, plant, R"(, "strategies": ["BASELINE"])")));
    return std::pair(after_start(column("BASELINE", Metric::kStepTime)),
                     after_start(column("BASELINE", Metric::kPower)));
  };
  const auto [experts_ms, experts_w] = at(kPlant);
  const auto [whole_ms, whole_w] = at(with_other("plant_cost_model"));
  EXPECT_NEAR(whole_ms - experts_ms, 3.0, 1e-3);
  EXPECT_NEAR(whole_w - experts_w, 0.5 / 0.016, 0.5) << "a step each 16 ms";
}

TEST_F(WholeStepRun, APowerCapIsHeldOverTheWholeStepByPlanAndByControl) {
  const Experiment e =
      experiment(changes(with_other("kernel_cost_model"), with_other("plant_cost_model")));
  const RunResult result = run(e);
  // STATIC_OPTIMAL's plan is calibrated on the model's costs, which are some 5 % above the plant's.
  const double fixed = after_start(column("STATIC_OPTIMAL", Metric::kPower));
  EXPECT_GT(fixed, 0.90 * 350);
  EXPECT_LT(fixed, 350);
  EXPECT_NEAR(after_start(column("KERNEL_AWARE_TTHA", Metric::kPower)), 350, 0.01 * 350);
  EXPECT_THAT(result.summary.costs,
              HasSubstr("simulated; whole step: expert layers and 3.00 ms, 500 mJ beside them "
                        "(Qwen3-30B-A3B on engine 1, measured)"));
  // A plan that did not know of 500 mJ a step would draw 31 W more.
  const RunResult blind = run(experiment(
      changes(kCosts, with_other("plant_cost_model"), R"(, "strategies": ["STATIC_OPTIMAL"])")));
  EXPECT_GT(after_start(column("STATIC_OPTIMAL", Metric::kPower)), fixed + 20);
  EXPECT_THAT(blind.summary.costs, HasSubstr("; the controller knows its expert layers only"));
}

TEST_F(WholeStepRun, ACapOnTheStepsTimeCountsTheWholeStep) {
  run(experiment(changes(with_other("kernel_cost_model"), kPlant,
                         R"(, "targets": {"power_w": null, "step_ms": 11.0})")));
  EXPECT_NEAR(after_start(column("STATIC_OPTIMAL", Metric::kStepTime)), 11.0, 0.4);
  std::vector<double> steps = column("KERNEL_AWARE_TTHA", Metric::kStepTime);
  steps.erase(steps.begin(), steps.begin() + 50);
  std::ranges::sort(steps);
  EXPECT_NEAR(steps[steps.size() * 95 / 100], 11.0, 0.3) << "held for 95 % of the ticks";
}

TEST_F(WholeStepRun, ThePlantIsChargedByTheControllersFileWhereItsOwnKnowsNoEngine) {
  const auto inputs = [&](const std::string& costs, const std::string& plant,
                          const std::string& more = "") {
    return load_inputs(experiment(changes(costs, plant, more)));
  };
  const std::string other = with_other("kernel_cost_model");
  EXPECT_NEAR(inputs(other, kPlant).plant_other.cost().latency.value, 3e-3, 1e-12);
  const std::string own = with_other("plant_cost_model", "Qwen3-30B-A3B", 5.0);
  EXPECT_NEAR(inputs(other, own).plant_other.cost().latency.value, 5e-3, 1e-12);
  EXPECT_NEAR(inputs(other, own).other.cost().latency.value, 3e-3, 1e-12);
  EXPECT_NEAR(
      load_inputs(experiment(fmt::format(
                      R"({{"cost_model": "{}", "plant": {{"energy_scale": 2.0}}}})", other)))
          .plant_other.cost()
          .energy.value,
      1.0, 1e-12)
      << "the plant's joules are scaled, wherever they are from";
  EXPECT_THROW(inputs(other, kPlant, R"(, "engine": {"name": "engine 2"})"), UsageError);
  EXPECT_THROW(inputs(kCosts, kPlant, R"(, "engine": {"name": "engine 1"})"), UsageError);
  EXPECT_THROW(inputs(other, kPlant, R"(, "machine": "gpu", "engine": {"name": "engine 1"})"),
               FormatError)
      << "a real GPU runs expert layers only";
  EXPECT_FALSE(inputs(other, kPlant, R"(, "machine": "gpu")").other.other);
  EXPECT_THAT(costs_line(inputs(other, kPlant)),
              HasSubstr("; the controller believes " + other + " (derived), sensors 0.1 s late"));
}

TEST_F(WholeStepRun, ARealGpusControllersKnowItsGapsOnceTheyAreCalibratedFromThatAlone) {
  const std::string proxy = with_other("kernel_cost_model", "Qwen3-30B-A3B", 3.0, kLoadProxyEngine);
  ExperimentInputs inputs =
      load_inputs(experiment(changes(proxy, kPlant, R"(, "machine": "gpu")")));
  EXPECT_NEAR(inputs.other.cost().latency.value, 3e-3, 1e-12);
  // As a calibration's: its layers were measured with what lies between them.
  use_costs(inputs, KernelCostModel::load(std::string(THERMOE_SOURCE_DIR) + "/" + kCosts));
  EXPECT_FALSE(inputs.other.other);
}

TEST_F(WholeStepRun, CostsOfAnotherModelsStepsChangeNothingToTheLastBit) {
  const RunResult experts = run(experiment(changes(kCosts, kPlant)));
  memory_ = {};
  const RunResult foreign = run(experiment(
      changes(with_other("kernel_cost_model", "Other"), with_other("plant_cost_model", "Other"))));
  EXPECT_THAT(foreign.summary.costs, HasSubstr("simulated; expert layers only"));
  EXPECT_EQ(to_json(foreign.summary), to_json(experts.summary));
}

}  // namespace
}  // namespace thermoe
