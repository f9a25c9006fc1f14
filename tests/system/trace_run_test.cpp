// SPDX-License-Identifier: Apache-2.0
// `thermoe run` on a recorded router, as a user meets it.
#include <gmock/gmock.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "core/json_file.h"
#include "experiment_run.h"

namespace thermoe {
namespace {

using testing::AllOf;
using testing::HasSubstr;

using TraceExperiment = ExperimentRun;

TEST_F(TraceExperiment, HoldsTheCapAndTellsTheLossInNatsEverywhere) {
  const nlohmann::json experiment =
      shipped("trace", R"({"duration_s": 12, "calibration_samples": 16, "disturbances": null,
                   "strategies": ["BASELINE", "KERNEL_AWARE_TTHA"]})");
  const ProcessResult result = run(experiment);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("kept mass"), HasSubstr("loss, nats"),
                                HasSubstr("recorded router data/traces/synthetic"),
                                HasSubstr("calibrated on the first")));
  const auto baseline = strategy("BASELINE");
  const auto ttha = strategy("KERNEL_AWARE_TTHA");
  EXPECT_NEAR(baseline["mean_active_experts"].get<double>(), 48.8, 0.1) << "twice each sample";
  EXPECT_EQ(baseline["quality_loss_nats"], 0.0);
  EXPECT_TRUE(ttha["bits_per_byte"].is_null());
  EXPECT_GT(ttha["quality_loss_nats"].get<double>(), 0.0);
  EXPECT_LT(ttha["kept_mass"].get<double>(), 1.0);
  const double cap = experiment["targets"]["power_w"];
  EXPECT_GT(baseline["mean_power_w"].get<double>(), 1.1 * cap);
  EXPECT_NEAR(ttha["mean_power_w"].get<double>(), cap, 0.03 * cap);
  std::ifstream page(folder() + "/report.html");
  const std::string html(std::istreambuf_iterator<char>(page), {});
  EXPECT_THAT(html, HasSubstr("at a loss of 0."));
}

TEST_F(TraceExperiment, ABatchThatTheTraceDoesNotHaveIsRefusedBeforeAFolderIsMade) {
  const ProcessResult result = run(shipped("trace", R"({"batch": 64})"));
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("/batch: is 64, but the samples of "));
  EXPECT_FALSE(std::filesystem::exists(folder()));
}

}  // namespace
}  // namespace thermoe
