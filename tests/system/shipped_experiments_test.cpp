// SPDX-License-Identifier: Apache-2.0
// Every shipped experiment and every kind of machine and load that an experiment can name, for some
// seconds: the run ends well and leaves a whole summary.
#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>
#include <ostream>

#include "core/json_file.h"
#include "experiment_run.h"

namespace thermoe {
namespace {

// Those for a real GPU run on the simulated one too: that is what predicts them.
const std::string kShort = R"({"machine": "simulated", "rounds": 1, "duration_s": 3,
                               "calibration_samples": 4, "warmup_steps": 8})";

struct Shipped {
  const char* name;
  double seconds;  ///< enough for what its disturbances must show
};
void PrintTo(const Shipped& shipped, std::ostream* out) { *out << shipped.name; }

/// The experiment in `seconds`, its disturbances moved along.
nlohmann::json shortened(nlohmann::json experiment, double seconds) {
  const double factor = seconds / experiment["duration_s"].get<double>();
  experiment.merge_patch(parse_json(kShort, "short"));
  experiment.erase("decode_steps_per_tick");
  experiment["duration_s"] = seconds;
  if (!experiment.contains("disturbances")) return experiment;
  for (auto& disturbance : experiment["disturbances"]) {
    for (const char* time : {"from_s", "to_s"}) {
      disturbance[time] = factor * disturbance[time].get<double>();
    }
  }
  return experiment;
}

class ShippedExperiments : public ExperimentRun, public testing::WithParamInterface<Shipped> {
 protected:
  void expect_at_work(const std::string& strategy, const std::string& kind) const {
    const char* name = kind == "background" ? "background_power_w"
                       : kind == "ambient"  ? "ambient_offset_c"
                                            : "sensor_fault";
    const std::vector<double> felt = column(strategy, name);
    EXPECT_GT(*std::max_element(felt.begin(), felt.end()), 0.0) << kind;
    EXPECT_EQ(*std::min_element(felt.begin(), felt.end()), 0.0) << kind << " comes or goes";
  }
};

TEST_P(ShippedExperiments, RunToAWholeSummaryWithTheirDisturbances) {
  const nlohmann::json experiment = shortened(shipped(GetParam().name, "{}"), GetParam().seconds);
  complete(experiment);
  const auto summary = read_json_file(folder() + "/summary.json");
  ASSERT_EQ(summary["strategies"].size(), experiment["strategies"].size());
  EXPECT_TRUE(summary["simulated"]);
  EXPECT_THAT(summary["device"].get<std::string>(), testing::StartsWith("simulated "));
  if (!experiment.contains("disturbances")) return;
  for (const auto& disturbance : experiment["disturbances"]) {
    expect_at_work(summary["strategies"].back()["name"], disturbance["kind"]);
  }
  if (GetParam().name == std::string("sensor_faults")) {
    EXPECT_GE(strategy("KERNEL_AWARE_TTHA")["fallbacks"].get<int>(), 1) << "and is noticed";
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, ShippedExperiments,
    testing::Values(Shipped{"demo", 3}, Shipped{"hold_temperature", 3}, Shipped{"hold_latency", 3},
                    Shipped{"several_targets", 3}, Shipped{"sensor_faults", 21},
                    Shipped{"saturated", 3}, Shipped{"dual_only", 3}, Shipped{"adapter_only", 3},
                    Shipped{"trace", 3}, Shipped{"gpu_cap", 3}, Shipped{"gpu_cap_adapter", 3},
                    Shipped{"gpu_trace", 3}, Shipped{"gpu_temperature", 3},
                    Shipped{"gpu_latency", 3}, Shipped{"gpu_saturated", 3},
                    Shipped{"gpu_quantized", 3}, Shipped{"gpu_high_complexity", 3},
                    Shipped{"gpu_small_batch", 3}, Shipped{"gpu_large_batch", 3},
                    Shipped{"serving_steady", 3}, Shipped{"serving_bursty", 3},
                    Shipped{"serving_day", 3}, Shipped{"serving_tenant", 3},
                    Shipped{"serving_saturated", 3}));

class Variations : public ExperimentRun, public testing::WithParamInterface<const char*> {};

TEST_P(Variations, RunToAWholeSummary) {
  nlohmann::json experiment = demo(kShort);
  experiment.erase("disturbances");
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
