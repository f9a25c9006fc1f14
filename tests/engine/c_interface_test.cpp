// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "bounded_wait.h"
#include "core/routing_plan.h"
#include "engine/controller_handle.h"
#include "engine/thermoe.h"
#include "toy_model.h"

extern "C" thermoe_step a_step_of_c(void);

namespace thermoe {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using testing::kToyExperts;
using testing::kToyLayers;
using testing::toy_config;

template <class T>
T sized() {
  T value{};
  value.size = sizeof value;
  return value;
}

struct Close {
  void operator()(thermoe_controller* controller) const { thermoe_close(controller); }
};
using Handle = std::unique_ptr<thermoe_controller, Close>;

class CInterface : public ::testing::Test {
 protected:
  static Handle open(const std::string& changes = "{}") {
    thermoe_controller* controller = nullptr;
    EXPECT_EQ(thermoe_open(toy_config(changes).c_str(), &controller), THERMOE_OK)
        << thermoe_last_error();
    return Handle(controller);
  }

  thermoe_step step() const {
    thermoe_step step = sized<thermoe_step>();
    step.step_time_s = 0.01;
    step.step_period_s = 0.016;
    step.layers = kToyLayers;
    step.experts = kToyExperts;
    step.tokens = 4;
    step.counts = counts_.data();
    return step;
  }

  /// The message of a step that is refused.
  static std::string refusal(const Handle& controller, const thermoe_step& step) {
    const thermoe_status status = thermoe_observe(controller.get(), &step);
    return status == THERMOE_BAD_INPUT ? thermoe_last_error() : "status " + std::to_string(status);
  }

  std::vector<std::int32_t> counts_ = std::vector<std::int32_t>(kToyLayers * kToyExperts, 1);
  std::vector<float> logits_ = std::vector<float>(kToyLayers * 4 * kToyExperts, 0.5F);
};

TEST_F(CInterface, SaysItsVersions) {
  EXPECT_STREQ(thermoe_version(), "0.1.0");
  EXPECT_EQ(thermoe_abi_version(), static_cast<std::uint32_t>(THERMOE_ABI_VERSION));
  EXPECT_EQ(a_step_of_c().size, sizeof(thermoe_step)) << "C and C++ see one struct";
}

TEST_F(CInterface, ABadConfigurationIsAStatusAndASentence) {
  thermoe_controller* controller = nullptr;
  EXPECT_EQ(thermoe_open(toy_config(R"({"stratgy": "BASELINE"})").c_str(), &controller),
            THERMOE_BAD_INPUT);
  EXPECT_EQ(controller, nullptr);
  EXPECT_THAT(thermoe_last_error(), AllOf(HasSubstr("/stratgy"), HasSubstr("strategy")));
  EXPECT_EQ(thermoe_open("{", &controller), THERMOE_BAD_INPUT);
  EXPECT_THAT(thermoe_last_error(), HasSubstr("not valid JSON"));
  EXPECT_EQ(thermoe_open(nullptr, &controller), THERMOE_BAD_INPUT);
  EXPECT_EQ(thermoe_open("{}", nullptr), THERMOE_BAD_INPUT);
}

TEST_F(CInterface, AMissingDriverIsUnavailable) {
  thermoe_controller* controller = nullptr;
  const std::string config = toy_config(
      R"({"telemetry": {"source": "nvml", "plant": null, "cost_model": null,
                        "library": "/nowhere/libnvidia-ml.so.1"}, "control": {"thread": true}})");
  EXPECT_EQ(thermoe_open(config.c_str(), &controller), THERMOE_UNAVAILABLE);
  EXPECT_THAT(thermoe_last_error(),
              AllOf(HasSubstr("/nowhere/libnvidia-ml.so.1"), EndsWith("with telemetry.library")));
}

TEST_F(CInterface, EachThreadHasItsOwnLastError) {
  const Handle controller = open();
  thermoe_step bad = step();
  bad.tokens = 0;
  EXPECT_EQ(thermoe_observe(controller.get(), &bad), THERMOE_BAD_INPUT);
  std::string elsewhere = "not asked";
  std::jthread([&] { elsewhere = thermoe_last_error(); }).join();
  EXPECT_EQ(elsewhere, "");
  EXPECT_THAT(thermoe_last_error(), HasSubstr("tokens is 0"));
}

TEST_F(CInterface, WithoutAControllerNothingHappens) {
  auto decision = sized<thermoe_decision>();
  auto state = sized<thermoe_state>();
  auto reading = sized<thermoe_reading>();
  const thermoe_step ran = step();
  EXPECT_EQ(thermoe_acquire(nullptr, &decision), THERMOE_BAD_INPUT);
  EXPECT_EQ(thermoe_observe(nullptr, &ran), THERMOE_BAD_INPUT);
  EXPECT_EQ(thermoe_read_state(nullptr, &state), THERMOE_BAD_INPUT);
  EXPECT_EQ(thermoe_set_reading(nullptr, &reading), THERMOE_BAD_INPUT);
  EXPECT_EQ(thermoe_advance(nullptr, 1.0), THERMOE_BAD_INPUT);
  EXPECT_EQ(thermoe_bind_plan(nullptr, &decision, 1), THERMOE_BAD_INPUT);
  EXPECT_THAT(thermoe_last_error(), HasSubstr("the controller is NULL"));
  thermoe_close(nullptr);
}

TEST_F(CInterface, TheFirstDecisionIsPlainTopK) {
  const Handle controller = open();
  auto decision = sized<thermoe_decision>();
  ASSERT_EQ(thermoe_acquire(controller.get(), &decision), THERMOE_OK) << thermoe_last_error();
  EXPECT_EQ(decision.flags, static_cast<std::uint64_t>(THERMOE_CHANGED | THERMOE_SAMPLE_WANTED |
                                                       THERMOE_CALIBRATING));
  const RoutingPlan baseline(kToyLayers, kToyExperts, testing::kToyPicks);
  ASSERT_EQ(decision.plan_bytes, baseline.bytes().size());
  EXPECT_EQ(decision.plan_bytes, thermoe_plan_bytes(kToyLayers, kToyExperts));
  EXPECT_EQ(std::memcmp(decision.plan, baseline.bytes().data(), decision.plan_bytes), 0);
  EXPECT_EQ(decision.active, nullptr) << "plans are applied";
  ASSERT_EQ(thermoe_acquire(controller.get(), &decision), THERMOE_OK);
  EXPECT_EQ(decision.flags & THERMOE_CHANGED, 0U);
}

TEST_F(CInterface, AProgramBuiltWithTheFirstHeaderGoesOn) {
  const Handle controller = open();
  struct {
    alignas(thermoe_step) std::byte step[THERMOE_STEP_SIZE_1];
    std::byte beyond[sizeof(thermoe_step)];  // another variable of that program's
  } memory;
  std::memset(&memory, 0xff, sizeof memory);
  thermoe_step old = step();
  old.size = THERMOE_STEP_SIZE_1;
  std::memcpy(memory.step, &old, THERMOE_STEP_SIZE_1);
  ASSERT_EQ(thermoe_observe(controller.get(), reinterpret_cast<const thermoe_step*>(memory.step)),
            THERMOE_OK)
      << thermoe_last_error();
  ASSERT_EQ(thermoe_advance(controller.get(), 0.2), THERMOE_OK);
  EXPECT_FALSE(controller->service.state().metrics.value_or(StepMetrics{}).serving)
      << "what lies beyond the old struct is no part of it";
  EXPECT_EQ(controller->service.state().steps.tokens, 4U);
}

TEST_F(CInterface, AProgramBuiltWithALaterHeaderIsHeardWhereItAsksForNothingUnknown) {
  const Handle controller = open();
  struct {
    thermoe_step step;
    double later;
  } memory{step(), 0.0};
  memory.step.size = sizeof memory;
  EXPECT_EQ(thermoe_observe(controller.get(), &memory.step), THERMOE_OK) << thermoe_last_error();
  memory.later = 1.0;
  EXPECT_THAT(refusal(controller, memory.step), HasSubstr("install a newer one"));
  thermoe_step none = step();
  none.size = 8;
  EXPECT_THAT(refusal(controller, none), HasSubstr("set it to sizeof(thermoe_step)"));
  struct {
    thermoe_state state;
    double later;
  } wide{};
  wide.later = 9.0;
  wide.state.size = sizeof wide;
  EXPECT_EQ(thermoe_read_state(controller.get(), &wide.state), THERMOE_OK);
  EXPECT_EQ(wide.later, 0.0);
  EXPECT_EQ(wide.state.steps, 0U);
}

TEST_F(CInterface, StepsThatCannotBeAreRefusedWithTheirValues) {
  const Handle controller = open();
  thermoe_step bad = step();
  bad.experts = 64;
  EXPECT_THAT(refusal(controller, bad), HasSubstr("4 layers of 64 experts, the controller's model "
                                                  "has 4 of 128"));
  bad = step();
  bad.step_time_s = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THAT(refusal(controller, bad), HasSubstr("step_time_s is nan"));
  bad.step_time_s = 1e-20;
  EXPECT_THAT(refusal(controller, bad), HasSubstr("step_time_s is 1e-20"));
  bad.step_time_s = 0.01;
  bad.step_period_s = 1e300;
  EXPECT_THAT(refusal(controller, bad), HasSubstr("seconds within [1e-9, 1e6]"));
  bad = step();
  bad.rows = 3;
  EXPECT_THAT(refusal(controller, bad), HasSubstr("tokens is 4, rows is 3"));
  counts_[kToyExperts + 2] = 5;
  EXPECT_THAT(refusal(controller, step()),
              HasSubstr("counts of layer 1, expert 2 is 5; it must lie within 0..tokens = 4"));
  counts_[kToyExperts + 2] = 1;
  bad = step();
  bad.logits = logits_.data();
  bad.logits_type = 9;
  EXPECT_THAT(refusal(controller, bad), HasSubstr("logits_type is 9"));
  bad.logits_type = THERMOE_F32;
  bad.logit_rows = 3;
  EXPECT_THAT(refusal(controller, bad), HasSubstr("logit_rows is 3, less than tokens = 4"));
  bad.logit_rows = 0;
  bad.counts = nullptr;
  EXPECT_THAT(refusal(controller, bad), HasSubstr("no counts"));
  EXPECT_EQ(controller->service.state().steps.steps, 0U);
}

TEST_F(CInterface, ABufferOfTheEnginesFollowsThePlanOfOneController) {
  std::vector<std::byte> buffer(thermoe_plan_bytes(kToyLayers, kToyExperts));  // outlives them
  const Handle first = open();
  const Handle second = open();
  ASSERT_EQ(thermoe_bind_plan(first.get(), buffer.data(), buffer.size()), THERMOE_OK);
  thermoe_plan_header header;
  std::memcpy(&header, buffer.data(), sizeof header);
  EXPECT_EQ(header.experts, static_cast<std::uint32_t>(kToyExperts));
  EXPECT_EQ(thermoe_bind_plan(second.get(), buffer.data(), buffer.size()), THERMOE_BUSY);
  EXPECT_THAT(thermoe_last_error(), HasSubstr("writes its plans into this buffer"));
  EXPECT_EQ(thermoe_bind_plan(second.get(), buffer.data(), 64), THERMOE_BAD_INPUT);
  EXPECT_EQ(thermoe_bind_plan(first.get(), nullptr, 0), THERMOE_OK);
  EXPECT_EQ(thermoe_bind_plan(second.get(), buffer.data(), buffer.size()), THERMOE_OK)
      << thermoe_last_error();
}

TEST_F(CInterface, ASecondCallOfAFunctionUnderWayFindsItBusyAndDoesNotWait) {
  const Handle controller = open();
  auto decision = sized<thermoe_decision>();
  const thermoe_step ran = step();
  const OneCall under_way(*controller, thermoe_controller::kAcquire);
  EXPECT_EQ(thermoe_acquire(controller.get(), &decision), THERMOE_BUSY);
  EXPECT_THAT(thermoe_last_error(), HasSubstr("under way in another thread"));
  EXPECT_EQ(thermoe_observe(controller.get(), &ran), THERMOE_OK) << "another function is free";
}

TEST_F(CInterface, AbsentNumbersAreNotKnown) {
  const Handle controller =
      open(R"({"telemetry": {"source": "caller", "plant": null, "cost_model": null}})");
  auto reading = sized<thermoe_reading>();
  reading.known = THERMOE_KNOWS_TEMPERATURE;
  reading.temperature_c = 61.0;
  reading.power_w = 400.0;  // no bit says so
  ASSERT_EQ(thermoe_set_reading(controller.get(), &reading), THERMOE_OK);
  ASSERT_EQ(thermoe_advance(controller.get(), 0.1), THERMOE_OK);
  auto state = sized<thermoe_state>();
  ASSERT_EQ(thermoe_read_state(controller.get(), &state), THERMOE_OK);
  EXPECT_EQ(state.known, static_cast<std::uint64_t>(THERMOE_KNOWS_TEMPERATURE));
  EXPECT_EQ(state.temperature_c, 61.0);
  EXPECT_EQ(state.power_w, 0.0);
  EXPECT_STREQ(state.reason, "BASELINE: no gate logits were observed yet");
  reading.temperature_c = std::numeric_limits<double>::infinity();
  EXPECT_EQ(thermoe_set_reading(controller.get(), &reading), THERMOE_BAD_INPUT);
}

TEST_F(CInterface, ThreadsThatStepObserveAndWatchAtOnceSeeWholePlans) {
  std::vector<std::byte> buffer(thermoe_plan_bytes(kToyLayers, kToyExperts));
  const Handle controller =
      open(R"({"control": {"thread": true, "tick_s": 0.01, "calibration_samples": 1}})");
  std::atomic<bool> done{false};
  std::atomic<std::uint64_t> ticks{0};
  std::jthread observer([&] {
    thermoe_step ran = step();
    ran.logits = logits_.data();
    while (!done) EXPECT_EQ(thermoe_observe(controller.get(), &ran), THERMOE_OK);
  });
  std::jthread watcher([&] {
    while (!done) {
      auto state = sized<thermoe_state>();
      EXPECT_EQ(thermoe_read_state(controller.get(), &state), THERMOE_OK);
      ticks = state.ticks;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
  ASSERT_EQ(thermoe_bind_plan(controller.get(), buffer.data(), buffer.size()), THERMOE_OK);
  std::uint64_t newest = 0;
  bool ordered = true, whole = true;
  const bool came = comes_true([&] {
    auto decision = sized<thermoe_decision>();
    EXPECT_EQ(thermoe_acquire(controller.get(), &decision), THERMOE_OK);
    thermoe_plan_header header, copied;
    std::memcpy(&header, decision.plan, sizeof header);
    std::memcpy(&copied, buffer.data(), sizeof copied);
    whole = whole && header.version == decision.version && copied.version == decision.version;
    ordered = ordered && decision.version >= newest;
    newest = decision.version;
    return ticks > 20;
  });
  done = true;
  EXPECT_TRUE(came);
  EXPECT_TRUE(ordered);
  EXPECT_TRUE(whole);
  EXPECT_GT(newest, 0U);
}

}  // namespace
}  // namespace thermoe
