// SPDX-License-Identifier: Apache-2.0
// The loop on a machine whose time passes by itself: no step waits for the controller.
#include <gmock/gmock.h>

#include <atomic>
#include <functional>
#include <thread>

#include "control/baseline.h"
#include "core/errors.h"
#include "experiment_fixture.h"

namespace thermoe {
namespace {

/// 200 W, and a little more in each poll: a sensor that never stands still.
class RisingSensor final : public Source {
 public:
  std::string_view name() const override { return "rising"; }

 private:
  Snapshot poll(Seconds) override {
    Snapshot snapshot{.gpus = std::vector<GpuReading>(1)};
    snapshot.gpus[0].power_instant.value = Watts(power_ += 0.01);
    return snapshot;
  }
  double power_ = 200.0;
};

/// Two decode steps a tick in real time, and the version of the plan of each.
class RealTimeMachine final : public Machine {
 public:
  /// `ticked` gets the time after each tick.
  RealTimeMachine(std::vector<std::uint64_t>& versions, std::function<void(Seconds)> ticked)
      : versions_(versions), ticked_(std::move(ticked)) {}
  const Clock& clock() const override { return clock_; }
  std::unique_ptr<Source> open_sensors() override { return std::make_unique<RisingSensor>(); }
  TickReport run_tick(Seconds until, Seconds period, const NextStep& next) override {
    for (int i = 0; i < 2; ++i) versions_.push_back(next(std::nullopt).plan.header().version);
    while (clock_.now() < until) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    ticked_(clock_.now());
    return {.step_time = Seconds(0.01), .step_period = period, .steps = 2, .near_ties = 3};
  }

 private:
  SteadyClock clock_{};
  std::vector<std::uint64_t>& versions_;
  std::function<void(Seconds)> ticked_;
};

/// Decides as BASELINE does, but from its third decision on only once it is let go.
class Hanging final : public Controller {
 public:
  Hanging(const ControllerConfig& config, std::atomic<bool>& released)
      : inner_(config), released_(released) {}
  Decision decide(const Observation& observation) override {
    Decision decision = inner_.decide(observation);
    decision.valid_until = observation.now + Seconds(0.3);
    if (++decisions_ >= 3) {
      while (!released_) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return decision;
  }
  const ControllerState& state() const override { return inner_.state(); }

 private:
  BaselineController inner_;
  std::atomic<bool>& released_;
  int decisions_ = 0;
};

/// Fails in its second decision.
class Failing final : public Controller {
 public:
  explicit Failing(const ControllerConfig& config) : inner_(config) {}
  Decision decide(const Observation& observation) override {
    if (++decisions_ == 2) throw Error("a controller that broke");
    return inner_.decide(observation);
  }
  const ControllerState& state() const override { return inner_.state(); }

 private:
  BaselineController inner_;
  int decisions_ = 0;
};

class RealTime : public RunExperiment {
 protected:
  RunResult run_there(int ticks) {
    const Experiment e = experiment(fmt::format(
        R"({{"duration_s": {}, "tick_s": 0.05, "disturbances": null, "strategies": ["BASELINE"]}})",
        0.05 * ticks));
    SyntheticDecoder model(decoder_);
    ExperimentInputs inputs = load_inputs(e);
    inputs.machine = {.device = "Lent GPU", .real_time = true};
    ForcedDecode decoder(model, inputs.texts->decoded, stream_options(e));
    ForcedDecode calibration(model, inputs.texts->calibration, stream_options(e));
    make_machine_ = [this](const Turn&) {
      return std::make_unique<RealTimeMachine>(versions_, ticked_);
    };
    return run_on(inputs, decoder, calibration);
  }

  std::vector<std::uint64_t> versions_{};
  std::atomic<bool> released_{false};
  std::function<void(Seconds)> ticked_ = [](Seconds) {};
};

TEST_F(RealTime, EveryTickIsDecidedInAThreadAsideAndLoggedInOrder) {
  const RunResult result = run_there(20);
  ASSERT_TRUE(result.complete);
  EXPECT_TRUE(std::is_sorted(versions_.begin(), versions_.end()));
  EXPECT_GT(versions_.back(), 2U) << "new plans came while steps ran";
  const std::vector<double> at = column("BASELINE", Metric::kTime);
  EXPECT_TRUE(std::is_sorted(at.begin(), at.end()));
  EXPECT_EQ(named(result, "BASELINE").near_ties, 3 * at.size());
}

TEST_F(RealTime, AControllerThatHangsDelaysNoStepAndTheSafePlanTakesOver) {
  make_controller_ = [this](const ControllerConfig& config) {
    return std::make_unique<Hanging>(config, released_);
  };
  // By the run's own time: it hangs until the last ticks, after which its thread must end.
  ticked_ = [this](Seconds now) { released_ = now >= Seconds(1.8); };
  const RunResult result = run_there(40);
  ASSERT_TRUE(result.complete);
  EXPECT_EQ(named(result, "BASELINE").fallbacks, 1);
  EXPECT_THAT(notes_.lines,
              testing::Contains(testing::HasSubstr("fell back to the calibrated static plan")));
  EXPECT_GT(named(result, "BASELINE").fallback_share, 0.3);
  EXPECT_GT(named(result, "BASELINE").late_decision_share.value_or(0.0), 0.3);
}

TEST_F(RealTime, AControllerThatBreaksEndsTheRunWithItsWordsAndLeavesTheTicks) {
  make_controller_ = [](const ControllerConfig& config) {
    return std::make_unique<Failing>(config);
  };
  try {
    run_there(40);
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "a controller that broke");
  }
  EXPECT_FALSE(column("BASELINE", Metric::kTime).empty());
}

}  // namespace
}  // namespace thermoe
