// SPDX-License-Identifier: Apache-2.0
#include "engine/controller_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <cstdlib>
#include <mutex>

#include "bounded_wait.h"
#include "control/controller_without_adapter.h"
#include "core/errors.h"
#include "fake_nvml/scripted_nvml.h"
#include "toy_model.h"

namespace thermoe {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using testing::toy_config;
using testing::ToyModel;

constexpr double kPeriod = 0.016;

std::unique_ptr<ControllerService> open(const std::string& changes = "{}",
                                        const MakeController& make = controller_without_adapter) {
  return std::make_unique<ControllerService>(read_engine_config(toy_config(changes)), make);
}

/// Steps at a fixed rate, or a longer period where that is asked for, in virtual time.
class Serving {
 public:
  explicit Serving(ControllerService& service) : service_(service) {}

  void step() {
    const HandOver::Held held = service_.acquire();
    const auto& [plan, mask] = held.routes;
    const ToyModel::Step ran = mask.empty() ? model_.by_plan(plan) : model_.by_mask(mask);
    const Seconds period = std::max(Seconds(kPeriod), held.step_period);
    service_.observe(
        {.version = held.version,
         .time = Seconds(0.01),
         .period = period,
         .tokens = ran.stats.tokens,
         .rows = ran.stats.tokens,
         .counts = ran.stats.counts,
         .logits = StepLogits{.data = ran.sample.logits.data(), .rows = ran.stats.tokens}});
    time_ += period.value;
  }
  void serve(double seconds) {
    for (const double end = time_ + seconds; time_ < end;) {
      step();
      service_.advance(Seconds(time_));
    }
  }
  double time() const { return time_; }

 private:
  ControllerService& service_;
  ToyModel model_;
  double time_ = 0.0;
};

Watts power_of(const ControllerService& service) {
  return service.state().snapshot.gpus.at(0).power_average.value.value();
}

TEST(ControllerService, HoldsAPowerCapByPlansAndByMasks) {
  const auto plain = open(R"({"strategy": "BASELINE"})");
  Serving(*plain).serve(8.0);
  ASSERT_GT(power_of(*plain), Watts(295));
  EXPECT_LT(*plain->state().quality_loss, 1e-6) << "sums of float shares";
  double loss_of_plans = 0.0;
  for (const char* applies : {R"({"applies": "plan"})", R"({"applies": "mask"})"}) {
    const auto capped = open(applies);
    Serving(*capped).serve(15.0);
    const EngineState state = capped->state();
    EXPECT_LT(power_of(*capped), Watts(1.02 * 280)) << applies;
    EXPECT_GT(power_of(*capped), Watts(0.95 * 280)) << applies;
    EXPECT_TRUE(state.snapshot.simulated);
    EXPECT_EQ(state.control.fallback, "");
    EXPECT_LT(state.active_experts, plain->state().active_experts);
    EXPECT_GT(state.quality_loss, loss_of_plans) << "a mask loses more than the plan";
    loss_of_plans = *state.quality_loss;
  }
}

TEST(ControllerService, SaysHowMuchOfTheRouterItHasSeenBeforeControlBegins) {
  const auto service = open();
  EXPECT_TRUE(service->acquire().calibrating);
  EXPECT_EQ(service->state().control.fallback, "BASELINE: no gate logits were observed yet");
  Serving serving(*service);
  serving.serve(0.25);
  EXPECT_THAT(service->state().control.fallback, StartsWith("BASELINE: 2 of 4 sampled steps"));
  serving.serve(0.25);
  EXPECT_EQ(service->state().control.fallback, "");
  EXPECT_FALSE(service->acquire().calibrating);
}

TEST(ControllerService, AnEngineThatRestsIsNotTakenForOneThatStillBurns) {
  const auto service = open(R"({"targets": {"power_w": 250}})");
  Serving serving(*service);
  serving.serve(10.0);
  const double lambda = service->state().control.lambda;
  ASSERT_GT(lambda, 0.0);
  service->advance(Seconds(serving.time() + 5.0));
  const EngineState rested = service->state();
  EXPECT_FALSE(rested.metrics);
  EXPECT_EQ(rested.control.fallback, "");
  EXPECT_NEAR(rested.control.power_residual->value, 0.0, 40.0) << "idle is no tenant";
}

TEST(ControllerService, OfAnEngineWhoseRequestsArriveItChoosesTheStepPeriodToo) {
  const auto period = [](const std::string& changes) {
    const auto service = open(changes);
    Serving(*service).serve(6.0);
    EXPECT_EQ(service->acquire().step_period, service->state().step_period);
    return service->acquire().step_period;
  };
  const std::string engine =
      R"("targets": {"power_w": null, "time_between_tokens_ms": 25}, "engine": {"batch_limit": 64},
         "control": {"step_period_s": null})";
  const Seconds with_target = period("{" + engine + "}");
  EXPECT_GT(with_target, Seconds(0.012)) << "a step's own time is less";
  EXPECT_LE(with_target, Seconds(0.025));
  EXPECT_EQ(period("{\"objective\": \"throughput\", " + engine + "}"), Seconds(0));
}

TEST(ControllerService, AStaticPlanIsCalibratedOnTheBatchThatTheAskedPeriodMakes) {
  const auto calibrated_at = [](const std::string& target, const char* objective) {
    const auto service =
        open(R"({"strategy": "STATIC_OPTIMAL", "engine": {"batch_limit": 40}, "objective": ")" +
             std::string(objective) + R"(", "control": {"step_period_s": null},
            "targets": {"power_w": 280, "time_between_tokens_ms": )" +
             target + "}}");
    Serving(*service).serve(1.0);
    return service->state().control;
  };
  const auto batch = [&](const std::string& target) {
    return calibrated_at(target, "energy").pacing->batch;
  };
  EXPECT_NEAR(batch("16"), 16.0, 1.0) << "16 tokens each 16 ms";
  EXPECT_NEAR(batch("32"), 32.0, 2.0);
  EXPECT_EQ(batch("90"), 40.0) << "the engine's limit";
  EXPECT_EQ(calibrated_at("32", "throughput").pacing->batch, 16.0) << "nothing is paced";
  EXPECT_GT(calibrated_at("32", "energy").predicted_active,
            calibrated_at("32", "throughput").predicted_active);
}

/// Decides once, and then never returns until it is let go.
class Stalled final : public Controller {
 public:
  explicit Stalled(std::unique_ptr<Controller> inner) : inner_(std::move(inner)) {}
  Decision decide(const Observation& observation) override {
    std::unique_lock lock(mutex_);
    if (decided_++ > 0) let_go_.wait_for(lock, std::chrono::seconds(60), [this] { return free_; });
    return inner_->decide(observation);
  }
  const ControllerState& state() const override { return inner_->state(); }
  void let_go() {
    const std::lock_guard lock(mutex_);
    free_ = true;
    let_go_.notify_all();
  }

 private:
  std::unique_ptr<Controller> inner_;
  std::mutex mutex_;
  std::condition_variable let_go_;
  bool free_ = false;
  int decided_ = 0;
};

constexpr const char* kOwnThread =
    R"({"control": {"thread": true, "tick_s": 0.01, "valid_ticks": 2, "calibration_samples": 2}})";

TEST(ControllerService, StepsGoOnWhileTheControllerIsStalledAndThenUnderTheSafePlan) {
  Stalled* stalled = nullptr;
  const auto service = open(kOwnThread, [&](const ControllerConfig& config) {
    auto made = std::make_unique<Stalled>(controller_without_adapter(config));
    stalled = made.get();
    return made;
  });
  Serving serving(*service);
  std::uint64_t steps = 0;
  const bool safe = comes_true([&] {
    serving.step();
    ++steps;
    return service->acquire().safe;
  });
  EXPECT_TRUE(safe);
  const auto held = service->acquire();
  EXPECT_EQ(held.routes.plan.header().version, held.version);
  EXPECT_GT(held.routes.plan.activation_price(0)[0], 0.0F)
      << "STATIC_OPTIMAL's, calibrated on what was seen: BASELINE would break the cap";
  for (int i = 0; i < 200; ++i) serving.step();  // none waits
  ASSERT_NE(stalled, nullptr);
  stalled->let_go();
  EXPECT_TRUE(comes_true([&] {
    serving.step();
    return !service->acquire().safe;
  })) << "a decision that comes late is still one";
}

/// A fault of its own.
class Dying final : public Controller {
 public:
  Decision decide(const Observation&) override { throw PreconditionError("a fault of the test"); }
  const ControllerState& state() const override { return state_; }

 private:
  ControllerState state_{};
};

TEST(ControllerService, OfAControllerThatDiedTheStateSaysWhyAndStepsGoOn) {
  const auto service =
      open(kOwnThread, [](const ControllerConfig&) { return std::make_unique<Dying>(); });
  Serving serving(*service);
  EXPECT_TRUE(comes_true([&] {
    serving.step();
    return service->state().control.fallback.find("has ended: a fault of the test") !=
           std::string::npos;
  })) << service->state().control.fallback;
  for (int i = 0; i < 200; ++i) serving.step();
  EXPECT_EQ(service->acquire().version, 0U) << "there never was a decision";
}

TEST(ControllerService, ReadingsOfTheCallersAreWhatItControlsBy) {
  const auto service = open(
      R"({"telemetry": {"source": "caller", "plant": null, "cost_model": null},
          "targets": {"power_w": 300}})");
  Serving serving(*service);
  for (int i = 0; i < 50; ++i) {
    GpuReading reading;
    reading.power_instant.value = Watts(390 + i % 3);
    service->set_reading(reading);
    serving.serve(0.1);
  }
  EXPECT_GT(service->state().control.lambda, 0.0) << "it is told of 390 W";
  EXPECT_FALSE(service->state().snapshot.simulated);
  serving.serve(6.0);  // and hears nothing any more
  EXPECT_THAT(service->state().control.fallback, HasSubstr("the power reading is"));
}

TEST(ControllerService, ReadingsForASourceThatReadsByItselfAreRefused) {
  const auto service = open();
  EXPECT_THROW(service->set_reading({}), UsageError);
}

TEST(ControllerService, TimeThatIsToldNeverFallsAndIsNotInNanoseconds) {
  const auto service = open();
  service->advance(Seconds(1));
  EXPECT_THROW(service->advance(Seconds(0.5)), UsageError);
  EXPECT_THROW(service->advance(Seconds(1.1e9)), UsageError) << "ten billion ticks";
  const auto own = open(R"({"control": {"thread": true}})");
  EXPECT_THROW(own->advance(Seconds(1)), UsageError);
}

TEST(ControllerService, WhatTheCostModelDoesNotHoldIsRefusedBeforeTheEngineBegins) {
  const auto refusal = [](const std::string& changes) -> std::string {
    try {
      open(changes);
    } catch (const UsageError& e) {
      return e.what();
    }
    return "not refused";
  };
  EXPECT_THAT(refusal(R"({"costed_as": "Qwen3-30B-A4B"})"), HasSubstr("Qwen3-30B-A3B"));
  EXPECT_THAT(refusal(R"({"model": {"experts": 64}})"),
              HasSubstr("/costed_as: has 128 experts, 8 a token, but the model has 64"));
  EXPECT_THAT(refusal(R"({"dtype": "f8"})"), HasSubstr("f8"));
}

std::string on_nvml(const std::string& gpu) {
  return R"({"telemetry": {"source": "nvml", "plant": null, "cost_model": null, "gpu": ")" + gpu +
         R"(", "library": ")" THERMOE_FAKE_NVML_LIBRARY R"("}, "control": {"thread": true}})";
}

TEST(ControllerService, FindsItsGpuByIndexOrUuidAndNamesOneThatIsNotThere) {
  const ScriptedNvml nvml("gpus = 2\ngpu1.power_instant = 411\n");
  for (const char* gpu : {"1", "GPU-fake-1"}) {
    const auto service = open(on_nvml(gpu));
    EXPECT_TRUE(comes_true([&] {
      const auto state = service->state();
      return !state.snapshot.gpus.empty() &&
             state.snapshot.gpus.front().power_instant.value == Watts(411);
    })) << gpu;
  }
  try {
    open(on_nvml("5"));
    FAIL();
  } catch (const UsageError& e) {
    EXPECT_THAT(e.what(), HasSubstr("/telemetry/gpu 5: there is no such GPU"));
  }
}

TEST(ControllerService, WithoutADriverItIsSaidAtOnce) {
  const ScriptedNvml nvml("init = driver_not_loaded\n");
  EXPECT_THROW(open(on_nvml("0")), TelemetryError);
}

}  // namespace
}  // namespace thermoe
