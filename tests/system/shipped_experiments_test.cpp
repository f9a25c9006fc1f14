// SPDX-License-Identifier: Apache-2.0
// Every shipped experiment and every kind of machine and load that an experiment can name, for some
// seconds: the run ends well and leaves a whole summary.
#include <gmock/gmock.h>

#include <filesystem>

#include "core/json_file.h"
#include "experiment_run.h"

namespace thermoe {
namespace {

const std::string kShort = R"({"duration_s": 3, "disturbances": null,
                                "calibration_samples": 4, "warmup_steps": 8})";

class ShippedExperiments : public ExperimentRun, public testing::WithParamInterface<const char*> {};

TEST_P(ShippedExperiments, RunToAWholeSummary) {
  nlohmann::json experiment = shipped(GetParam(), kShort);
  complete(experiment);
  const auto summary = read_json_file(folder() + "/summary.json");
  EXPECT_EQ(summary["strategies"].size(), experiment["strategies"].size());
  EXPECT_TRUE(summary["simulated"]);
  EXPECT_THAT(summary["device"].get<std::string>(), testing::StartsWith("simulated "));
}

INSTANTIATE_TEST_SUITE_P(All, ShippedExperiments,
                         testing::Values("demo", "hold_temperature", "hold_latency",
                                         "several_targets", "sensor_faults", "saturated",
                                         "dual_only", "adapter_only"));

class Variations : public ExperimentRun, public testing::WithParamInterface<const char*> {};

TEST_P(Variations, RunToAWholeSummary) {
  nlohmann::json experiment = demo(kShort);
  experiment.merge_patch(parse_json(GetParam(), "variation"));
  if (experiment["workload"] != "standard") experiment.erase("batch");
  complete(experiment);
  const auto ttha = strategy("KERNEL_AWARE_TTHA");
  EXPECT_GT(ttha["tokens_per_second"].get<double>(), 0.0);
  EXPECT_GT(ttha["mean_power_w"].get<double>(), 100.0);
}

INSTANTIATE_TEST_SUITE_P(
    Demo, Variations,
    testing::Values(R"({"expert_type": "quantized"})", R"({"expert_type": "mixed"})",
                    R"({"workload": "small_batch"})", R"({"workload": "large_batch"})",
                    R"({"workload": "high_complexity"})",
                    R"({"arrival": {"kind": "saturated", "tokens_per_second": null}})",
                    R"({"decode_steps_per_tick": 2})"));

}  // namespace
}  // namespace thermoe
