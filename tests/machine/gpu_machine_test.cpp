// SPDX-License-Identifier: Apache-2.0
// In real time, with a load and sensors that are none. Bounds are such that a loaded machine, which
// only makes things later, does not break them.
#include "machine/gpu/gpu_machine.h"

#include <gmock/gmock.h>

#include <thread>
#include <vector>

#include "bounded_wait.h"
#include "core/errors.h"
#include "fake_step_load.h"
#include "live_gpu.h"

namespace thermoe {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

void sleep(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }

class FakeTenant final : public Tenant {
 public:
  void set_working(bool working) override {
    if (ended) throw Error("the tenant has ended");
    told.push_back(working);
  }
  Watts added_power() const override { return Watts(100); }

  std::vector<bool> told{};
  bool ended = false;
};

class GpuMachineOfFakes : public testing::Test {
 protected:
  GpuMachineOptions options(std::vector<Disturbance> disturbances = {}) {
    return {.load = load_,
            .router = router_,
            .open_source =
                [this](Seconds energy_period) {
                  energy_periods_.push_back(energy_period);
                  return gpu_.open();
                },
            .disturbances = std::move(disturbances),
            .tenant = &tenant_,
            .truth_period = Seconds(0.002)};
  }
  /// Each decode a plan and logits of its own.
  StepLoads decode() {
    step_ = staged_step(++decoded_);
    stats_.step = decoded_;
    return {.plan = step_.plan, .stats = stats_, .sample = step_.sample};
  }
  TickReport tick(GpuMachine& machine, double until, double period = 0.01) {
    return machine.run_tick(Seconds(until), Seconds(period),
                            [this](std::optional<int>) { return decode(); });
  }
  /// Ticks until one throws.
  std::string failure(GpuMachine& machine) {
    std::string said;
    const bool failed = comes_true([&] {
      try {
        tick(machine, machine.clock().now().value + 0.05);
      } catch (const Error& e) {
        said = e.what();
      }
      return !said.empty();
    });
    return failed ? said : "none";
  }

  const RouterSpec router_ = small_router();
  FakeStepLoad load_{};
  LiveGpu gpu_{};
  FakeTenant tenant_{};
  StagedStep step_{};
  RoutingStats stats_{};
  std::uint64_t decoded_ = 0;
  std::vector<Seconds> energy_periods_{};
};

TEST_F(GpuMachineOfFakes, TheFirstTickStartsTheClock) {
  GpuMachine machine(options());
  sleep(0.02);
  EXPECT_EQ(machine.clock().now(), Seconds(0));
  tick(machine, 0.05);
  const Seconds after = machine.clock().now();
  EXPECT_GE(after, Seconds(0.05)) << "it returns no sooner";
  sleep(0.005);
  EXPECT_GT(machine.clock().now(), after);
}

TEST_F(GpuMachineOfFakes, ATickReportsItsStepsAndTheTruth) {
  GpuMachine machine(options());
  tick(machine, 0.1);
  const TickReport report = tick(machine, 0.6);
  EXPECT_NEAR(report.step_time.value, 0.001, 1e-12) << "as the load says, not as it slept";
  EXPECT_GT(report.step_period, Seconds(0.0095));
  EXPECT_GT(report.steps, 5) << "50, on a machine with time for it";
  EXPECT_LE(report.steps, report.length.value / 0.01 + 2);
  EXPECT_GE(report.length, Seconds(0.4));
  EXPECT_EQ(report.basis, Basis::kMeasured);
  EXPECT_EQ(report.near_ties, 0U);
  ASSERT_TRUE(report.truth.energy.has_value()) << report.problem;
  EXPECT_EQ(*report.truth.mean_power, *report.truth.energy / report.length);
  EXPECT_NEAR(report.truth.mean_power->value, LiveGpu::kWatts, 0.4 * LiveGpu::kWatts);
  EXPECT_EQ(report.truth.temperature, Celsius(61));
  EXPECT_EQ(report.truth.throttled, false);
}

TEST_F(GpuMachineOfFakes, NextIsAskedEvenlyOverTheTickForAsManyStepsAsWereAgreed) {
  GpuMachineOptions five = options();
  five.decode_steps_per_tick = 5;
  GpuMachine machine(std::move(five));
  // A tick on a machine without time for it asks for fewer.
  EXPECT_TRUE(comes_true([&] {
    std::vector<Seconds> at;
    const Seconds begin = machine.clock().now();
    machine.run_tick(begin + Seconds(0.25), Seconds(0.01), [&](std::optional<int>) {
      at.push_back(machine.clock().now());
      return decode();
    });
    EXPECT_LE(at.size(), 5U);
    for (std::size_t i = 0; i < at.size(); ++i) {
      EXPECT_GE(at[i] - begin, static_cast<double>(i) * Seconds(0.0499));
    }
    return at.size() == 5;
  }));
}

TEST_F(GpuMachineOfFakes, ADecoderThatStallsDelaysNoStep) {
  GpuMachine machine(options());
  tick(machine, 0.1);
  const int before = load_.steps;
  const Seconds begin = machine.clock().now();
  const TickReport report = machine.run_tick(Seconds(0.2), Seconds(0.01), [&](std::optional<int>) {
    sleep(0.5);
    // The steps are there while the decoder stalls, not once it is done.
    EXPECT_GT(load_.steps - before, 10);
    return decode();
  });
  EXPECT_GT(report.steps, 10) << "50, on a machine with time for it";
  EXPECT_GE(report.repeated + 2, static_cast<std::uint64_t>(report.steps));
  EXPECT_GE(report.length, Seconds(0.5)) << "and it says how long it truly was";
  EXPECT_LE(load_.steps - before, (machine.clock().now() - begin).value / 0.01 + 2);
}

TEST_F(GpuMachineOfFakes, ATickThatIsOverAlreadyDecodesOneStepAndReturns) {
  GpuMachineOptions many = options();
  many.decode_steps_per_tick = 100;
  GpuMachine machine(std::move(many));
  tick(machine, 0.02);
  sleep(0.05);
  const std::uint64_t before = decoded_;
  tick(machine, 0.04);
  EXPECT_EQ(decoded_, before + 1);
  EXPECT_THROW(tick(machine, 0.04), PreconditionError) << "time goes on";
}

TEST_F(GpuMachineOfFakes, StepsThatOutlastThePeriodAreLate) {
  load_.step_seconds = 0.02;
  GpuMachine machine(options());
  tick(machine, 0.2);
  EXPECT_GT(tick(machine, 0.4).late, 0U);
}

TEST_F(GpuMachineOfFakes, ATickInWhichNoStepEndsKeepsTheTimesLastKnown) {
  GpuMachine machine(options());
  tick(machine, 0.2);
  const TickReport with = tick(machine, 0.3, 3600);
  const TickReport without = tick(machine, 0.4, 3600);
  EXPECT_EQ(without.steps, 0);
  EXPECT_EQ(without.step_time, with.step_time);
  EXPECT_EQ(without.step_period, with.step_period);
}

TEST_F(GpuMachineOfFakes, TheTenantWorksWhileABackgroundDisturbanceLasts) {
  {
    GpuMachine machine(options({{.kind = Disturbance::Kind::kBackground,
                                 .from = Seconds(0.1),
                                 .to = Seconds(0.6),
                                 .power = Watts(100)}}));
    tick(machine, 0.05);
    EXPECT_THAT(tenant_.told, ElementsAre());
    tick(machine, 0.15);
    tick(machine, 0.2);
    tick(machine, 0.25);
    EXPECT_THAT(tenant_.told, ElementsAre(true)) << "told once";
    tick(machine, 0.6);
    tick(machine, 0.65);
    EXPECT_THAT(tenant_.told, ElementsAre(true, false));
  }
  EXPECT_THAT(tenant_.told, ElementsAre(true, false)) << "nothing to end";
}

TEST_F(GpuMachineOfFakes, TheTenantRestsWhenTheMachineGoes) {
  const std::vector<Disturbance> always = {{.kind = Disturbance::Kind::kBackground,
                                            .from = Seconds(0),
                                            .to = Seconds(1000),
                                            .bandwidth_share = 0.3}};
  {
    GpuMachine machine(options(always));
    tick(machine, 0.02);
  }
  EXPECT_THAT(tenant_.told, ElementsAre(true, false));
  GpuMachine machine(options(always));
  tick(machine, 0.02);
  tenant_.ended = true;  // the destructor minds not
}

TEST_F(GpuMachineOfFakes, ATenantThatHasEndedEndsTheRun) {
  tenant_.ended = true;
  GpuMachine machine(options({{.kind = Disturbance::Kind::kBackground,
                               .from = Seconds(0),
                               .to = Seconds(1),
                               .power = Watts(100)}}));
  EXPECT_THAT(failure(machine), HasSubstr("tenant has ended"));
}

TEST_F(GpuMachineOfFakes, AStepThatFailsEndsTheRunAndTheMachineCanGo) {
  GpuMachine machine(options());
  tick(machine, 0.05);
  load_.fails = true;
  EXPECT_THAT(failure(machine), AllOf(HasSubstr("steps"), HasSubstr("fell off the bus")));
}

TEST_F(GpuMachineOfFakes, AStepThatWasRoutedOtherwiseEndsTheRun) {
  GpuMachine machine(options());
  tick(machine, 0.05);
  load_.misroutes = true;
  EXPECT_THAT(failure(machine), HasSubstr("layer 0"));
}

TEST_F(GpuMachineOfFakes, SensorsThatVanishEndTheRunAndTheMachineCanGo) {
  for (std::atomic<bool>* fault : {&gpu_.lost, &gpu_.throws}) {
    GpuMachine machine(options());
    tick(machine, 0.05);
    *fault = true;
    EXPECT_THAT(failure(machine), HasSubstr("sensors vanished"));
    *fault = false;
  }
}

TEST_F(GpuMachineOfFakes, ADecoderThatThrowsEndsTheTickAndTheMachineCanGo) {
  GpuMachine machine(options());
  const NextStep broken = [](std::optional<int>) -> StepLoads { throw Error("the model is gone"); };
  EXPECT_THROW(machine.run_tick(Seconds(0.05), Seconds(0.01), broken), Error);
}

TEST_F(GpuMachineOfFakes, WithoutACounterTheRunGoesOnWithoutTrueWatts) {
  gpu_.has_counter = false;
  GpuMachine machine(options());
  const TickReport report = tick(machine, 0.3);
  EXPECT_GT(report.steps, 0);
  EXPECT_FALSE(report.truth.energy.has_value());
  EXPECT_FALSE(report.truth.mean_power.has_value());
  EXPECT_THAT(report.problem, HasSubstr("no energy counter"));
}

TEST_F(GpuMachineOfFakes, ControllersHaveSensorsOfTheirOwn) {
  GpuMachine machine(options(
      {{.kind = Disturbance::Kind::kSensorDropout, .from = Seconds(0), .to = Seconds(1000)}}));
  EXPECT_THAT(energy_periods_, ElementsAre(Seconds(0))) << "the truth's: each poll reads joules";
  const auto sensors = machine.open_sensors();
  EXPECT_THAT(energy_periods_, ElementsAre(Seconds(0), Seconds(1)));
  const TickReport report = tick(machine, 0.1);
  EXPECT_TRUE(report.truth.energy.has_value()) << "a fault of sensors is none of the truth's";
  EXPECT_FALSE(sensors->read(machine.clock().now()).gpus.at(0).temperature.value.has_value());
}

TEST_F(GpuMachineOfFakes, RefusesWhatARealGpuCannotHave) {
  const auto refusal = [&](GpuMachineOptions with) -> std::string {
    try {
      GpuMachine machine(std::move(with));
    } catch (const UsageError& e) {
      return e.what();
    }
    return "none";
  };
  EXPECT_THAT(refusal(options({{.kind = Disturbance::Kind::kAmbient,
                                .from = Seconds(1),
                                .to = Seconds(2),
                                .ambient = Celsius(5)}})),
              AllOf(HasSubstr("air"), HasSubstr("simulated")));
  GpuMachineOptions alone = options({{.kind = Disturbance::Kind::kBackground,
                                      .from = Seconds(1),
                                      .to = Seconds(2),
                                      .power = Watts(50)}});
  alone.tenant = nullptr;
  EXPECT_THAT(refusal(std::move(alone)), HasSubstr("no other tenant"));
  GpuMachineOptions none = options();
  none.decode_steps_per_tick = 0;
  EXPECT_THROW(std::make_unique<GpuMachine>(std::move(none)), PreconditionError);
}

TEST_F(GpuMachineOfFakes, SensorsThatCannotBeReadAreAnErrorBeforeTheRun) {
  gpu_.throws = true;
  EXPECT_THROW(std::make_unique<GpuMachine>(options()), Error);
}

}  // namespace
}  // namespace thermoe
