// SPDX-License-Identifier: Apache-2.0
// A controller that is late or dead: its last plan runs while it is valid, then the safe one.
#include <gmock/gmock.h>

#include "experiment_fixture.h"

namespace thermoe {
namespace {

constexpr double kStallsAt = 4.0;

/// Repeats its last decision from kStallsAt on, for so many seconds.
class Stalling final : public Controller {
 public:
  Stalling(std::unique_ptr<Controller> inner, double seconds)
      : inner_(std::move(inner)), seconds_(seconds) {}
  Decision decide(const Observation& observation) override {
    const double t = observation.now.value;
    if (t < kStallsAt - 1e-6 || t > kStallsAt + seconds_ - 1e-6)
      last_ = inner_->decide(observation);
    return last_;
  }
  const ControllerState& state() const override { return inner_->state(); }

 private:
  std::unique_ptr<Controller> inner_;
  double seconds_;
  Decision last_{};
};

class StalledController : public RunExperiment {
 protected:
  /// STATIC_OPTIMAL, then `strategy`; each stalls for so long.
  RunResult stall(double seconds, const std::string& changes = "{}",
                  const std::string& strategy = "KERNEL_AWARE_TTHA") {
    make_controller_ = [=](const ControllerConfig& config) {
      return std::make_unique<Stalling>(controller_without_adapter(config), seconds);
    };
    nlohmann::json json = {{"duration_s", 12},
                           {"disturbances", nullptr},
                           {"strategies", {"STATIC_OPTIMAL", strategy}}};
    json.merge_patch(parse_json(changes, "changes"));
    return run(experiment(json.dump()));
  }
  /// Ticks of `strategy` in which the experts at work are STATIC_OPTIMAL's.
  std::vector<std::size_t> static_ticks(const std::string& strategy = "KERNEL_AWARE_TTHA") const {
    const std::vector<double> fixed = column("STATIC_OPTIMAL", Metric::kActive);
    const std::vector<double> mine = column(strategy, Metric::kActive);
    std::vector<std::size_t> same;
    for (std::size_t i = 0; i < mine.size(); ++i) {
      if (mine[i] == fixed[i]) same.push_back(i);
    }
    return same;
  }
};

TEST_F(StalledController, KeepsItsLastPlanWhileThatIsValid) {
  const RunResult result = stall(0.9);
  EXPECT_EQ(named(result, "KERNEL_AWARE_TTHA").fallbacks, 0);
  EXPECT_THAT(notes_.lines, testing::IsEmpty());
}

TEST_F(StalledController, ThenGivesWayToTheStaticPlanUntilItDecidesAgain) {
  const RunResult result = stall(4.0);
  const StrategySummary& ttha = named(result, "KERNEL_AWARE_TTHA");
  EXPECT_EQ(ttha.fallbacks, 1);
  // Decided last at 3.9 s, valid for ten ticks: the safe plan runs from 4.9 s to 8 s.
  EXPECT_NEAR(ttha.fallback_share, 31 / 120.0, 1e-9);
  const std::vector<std::size_t> same = static_ticks();
  for (std::size_t i = 49; i < 80; ++i) EXPECT_THAT(same, testing::Contains(i));
  EXPECT_THAT(same, testing::Not(testing::IsSupersetOf({47U, 48U, 80U, 81U})));
  EXPECT_LE(ttha.targets[0].violation_fraction, 0.05) << "the cap holds without a controller";
  EXPECT_THAT(
      notes_.lines,
      testing::ElementsAre(
          "KERNEL_AWARE_TTHA at 5.0 s: fell back to the calibrated static plan: no decision "
          "followed the one that was valid until 4.9 s",
          "KERNEL_AWARE_TTHA at 8.1 s: in control again"));
}

TEST_F(StalledController, GivesWayToBaselineWhereThatIsAskedFor) {
  const RunResult result = stall(4.0, R"({"control": {"fallback": "baseline", "valid_ticks": 3}})");
  EXPECT_NEAR(named(result, "KERNEL_AWARE_TTHA").fallback_share, 38 / 120.0, 1e-9);
  EXPECT_THAT(notes_.lines, testing::Contains(testing::HasSubstr("fell back to BASELINE: no dec")));
  const std::vector<double> power = column("KERNEL_AWARE_TTHA", Metric::kPower);
  EXPECT_GT(power[75], 1.1 * 350) << "the hottest plan of all";
}

TEST_F(StalledController, OfAStrategyThatListensToNothingMakesNoDifference) {
  const RunResult result = stall(4.0, "{}", "BASELINE");
  EXPECT_EQ(named(result, "STATIC_OPTIMAL").fallbacks, 0);
  EXPECT_EQ(named(result, "BASELINE").fallbacks, 0);
}

}  // namespace
}  // namespace thermoe
