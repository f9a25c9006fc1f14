// SPDX-License-Identifier: Apache-2.0
#include "machine/simulated/simulated_machine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/errors.h"
#include "cost/other_fit.h"
#include "cost/step_rows.h"
#include "machine/simulated/plant_config.h"

namespace thermoe {
namespace {

const std::string kData = std::string(THERMOE_SOURCE_DIR) + "/data/h100/";

const ExpertShape kShape{
    .name = "Qwen3-30B-A3B", .experts = 128, .top_k = 8, .d_model = 2048, .d_ff = 768};

/// Two layers in which `active` experts each have a token or more.
RoutingStats loads(int active) {
  RoutingStats stats{.layers = 2, .experts = 128, .tokens = 16};
  stats.counts.resize(256);
  for (int l = 0; l < 2; ++l) {
    for (int i = 0; i < 128; ++i) ++stats.counts[static_cast<std::size_t>(l * 128 + i % active)];
  }
  return stats;
}

class MachineOfTheH100 : public testing::Test {
 protected:
  Cost cost(const RoutingStats& stats, std::vector<std::string> dtypes,
            const RoutingPlan& plan) const {
    return step_charge(
               {.costs = costs_, .shape = kShape, .dtypes = std::move(dtypes), .layer_repeat = 24},
               stats, plan)
        .cost;
  }
  SimulatedMachineOptions options(double noise = 0.0, std::uint64_t seed = 1) const {
    SimulatedMachineOptions options{
        .gpu = read_plant(kData + "plant.json"),
        .charge = {.costs = costs_, .shape = kShape, .dtypes = {"bf16"}, .layer_repeat = 24},
        .step_noise = noise};
    options.gpu.seed = seed;
    return options;
  }
  /// Ticks of 0.1 s, a step each 16 ms in which `active` experts work.
  std::vector<TickReport> run(SimulatedMachine& machine, int active, int ticks) const {
    const RoutingStats stats = loads(active);
    const LogitSample sample{};
    std::vector<TickReport> reports;
    for (int i = 0; i < ticks; ++i) {
      reports.push_back(
          machine.run_tick((i + 1) * Seconds(0.1), Seconds(0.016), [&](std::optional<int>) {
            return StepLoads{.plan = plan_, .stats = stats, .sample = sample};
          }));
    }
    return reports;
  }
  Watts steady_power(int active) const {
    SimulatedMachine machine(options());
    return run(machine, active, 20).back().truth.mean_power.value();
  }

  KernelCostModel costs_ = KernelCostModel::load(kData + "plant_cost_model.json");
  RoutingPlan plan_{2, 128, 8};
};

TEST_F(MachineOfTheH100, ChargesTheMeasuredWattsOfItsLoads) {
  // data/h100/moe_decode_energy.json, open_loop_fixed_rate: 82 experts 469 W, 40 experts 294 W.
  EXPECT_NEAR(steady_power(82).value, 469, 10);
  EXPECT_NEAR(steady_power(40).value, 294, 10);
}

TEST_F(MachineOfTheH100, StepsOfAnEngineTakeAndDrawWhatWasFittedToThem) {
  const std::string file = kData + "vllm_steps.csv";
  const std::vector<StepRow> rows = read_step_rows(file);
  const KernelCostModel costs = KernelCostModel::load(kData + "kernel_cost_model.json");
  const OtherFit fit = fit_other_costs(
      rows, costs, {.rows_file = file, .model = "Qwen3-30B-A3B", .engine = "vLLM 0.25.1"});
  const OpCost other = fit.other.at(16);
  SimulatedMachineOptions whole = options();
  whole.gpu.idle_active = costs.active_idle();
  PlantCharge charge{
      .costs = costs,
      .shape = kShape,
      .dtypes = {"bf16"},
      .layer_repeat = 24,
      .other = {.cost = {other.latency, other.energy.value(), Celsius{}}, .basis = other.basis}};
  for (const int active : {24, 39, 64, 78}) {
    const StepRow& row = *std::ranges::find_if(
        rows, [&](const StepRow& r) { return std::abs(r.active_experts - active) < 0.5; });
    SimulatedMachine machine({.gpu = whole.gpu, .charge = charge});
    const RoutingStats stats = loads(active);
    const LogitSample sample{};
    TickReport tick;
    for (int i = 0; i < 20; ++i) {  // back to back, as the engine ran
      tick = machine.run_tick((i + 1) * Seconds(0.1), Seconds(0), [&](std::optional<int>) {
        return StepLoads{.plan = plan_, .stats = stats, .sample = sample};
      });
    }
    EXPECT_NEAR(tick.step_time / row.step, 1.0, fit.points[0].latency.max + 0.01) << active;
    const double joules = (*row.energy - costs.active_idle() * row.step).value;
    const double charged = (*tick.truth.mean_power - costs.active_idle()).value;
    EXPECT_NEAR(charged * row.step.value / joules, 1.0, fit.points[0].energy->max + 0.015)
        << active;
  }
}

TEST_F(MachineOfTheH100, NoiseVariesTheTimeOfStepsAroundTheChargedOneAndNotTheirJoules) {
  const Cost step = cost(loads(60), {"bf16"}, plan_);
  const auto times = [&](double noise, std::uint64_t seed) {
    SimulatedMachine machine(options(noise, seed));
    std::vector<double> relative;
    for (const TickReport& tick : run(machine, 60, 2000)) {
      relative.push_back(tick.step_time / step.latency);
    }
    return relative;
  };
  const std::vector<double> noisy = times(0.1, 1);
  double sum = 0.0, squares = 0.0;
  for (const double t : noisy) sum += t, squares += (t - 1) * (t - 1);
  EXPECT_NEAR(sum / 2000, 1.0, 0.01);
  EXPECT_NEAR(std::sqrt(squares / 2000), 0.1, 0.015);
  EXPECT_EQ(times(0.1, 1), noisy) << "a seed repeats it";
  EXPECT_NE(times(0.1, 2), noisy);
  for (const double t : times(0.0, 1)) EXPECT_NEAR(t, 1.0, 1e-9);

  SimulatedMachine machine(options(0.1));
  Joules energy;
  double steps = 0.0;
  for (const TickReport& tick : run(machine, 60, 200)) {
    energy += tick.truth.energy.value();
    steps += tick.steps;
  }
  const Joules idle = options().gpu.idle_active * Seconds(20);
  EXPECT_NEAR((energy - idle) / (steps * step.energy), 1.0, 1e-3);
}

TEST_F(MachineOfTheH100, ChargesTheMeanOfTheStepsThatItAsksFor) {
  SimulatedMachineOptions four = options();
  four.decode_steps_per_tick = 4;
  SimulatedMachine machine(four);
  const LogitSample sample{};
  RoutingStats stats;
  int asked = 0;
  const TickReport tick = machine.run_tick(Seconds(0.1), Seconds(0.016), [&](std::optional<int>) {
    stats = loads(++asked <= 2 ? 40 : 80);
    return StepLoads{.plan = plan_, .stats = stats, .sample = sample};
  });
  EXPECT_EQ(asked, 4);
  const Cost few = cost(loads(40), {"bf16"}, plan_), many = cost(loads(80), {"bf16"}, plan_);
  EXPECT_NEAR(tick.step_time / (0.5 * (few.latency + many.latency)), 1.0, 1e-9);
}

TEST_F(MachineOfTheH100, PacesStepsByThePeriodOfTheTick) {
  SimulatedMachine machine(options());
  const RoutingStats stats = loads(40);
  const LogitSample sample{};
  const auto next = [&](std::optional<int>) {
    return StepLoads{.plan = plan_, .stats = stats, .sample = sample};
  };
  EXPECT_NEAR(machine.run_tick(Seconds(1.6), Seconds(0.016), next).steps, 100, 1e-6);
  EXPECT_NEAR(machine.run_tick(Seconds(3.2), Seconds(0.032), next).steps, 50, 1e-6);
  EXPECT_EQ(machine.clock().now(), Seconds(3.2));
  EXPECT_THROW(machine.run_tick(Seconds(3.2), Seconds(0.016), next), PreconditionError);
}

TEST_F(MachineOfTheH100, ItsSensorsFailAndItsTenantComesWhenTheDisturbancesSaySo) {
  SimulatedMachineOptions disturbed = options();
  disturbed.disturbances = {
      {.kind = Disturbance::Kind::kBackground,
       .from = Seconds(1),
       .to = Seconds(2),
       .power = Watts(60)},
      {.kind = Disturbance::Kind::kSensorDropout, .from = Seconds(1), .to = Seconds(2)}};
  SimulatedMachine machine(disturbed);
  const auto sensors = machine.open_sensors();
  EXPECT_TRUE(sensors->read(Seconds(0.9)).gpus[0].power_instant.value);
  EXPECT_FALSE(sensors->read(Seconds(1.5)).gpus[0].power_instant.value);
  const std::vector<TickReport> ticks = run(machine, 40, 20);
  const auto watts = [&](int from) {  // 0.8 s: whole periods
    Joules sum;
    for (int i = from; i < from + 8; ++i) sum += ticks[i].truth.energy.value();
    return (sum / Seconds(0.8)).value;
  };
  EXPECT_NEAR(watts(11) - watts(1), 60, 1e-6);
}

TEST_F(MachineOfTheH100, FewerActiveExpertsCostLessTimeAndEnergy) {
  const Cost many = cost(loads(80), {"bf16"}, plan_);
  const Cost few = cost(loads(40), {"bf16"}, plan_);
  EXPECT_LT(few.latency, many.latency);
  EXPECT_LT(few.energy, many.energy);
}

TEST_F(MachineOfTheH100, MixedPrecisionLiesBetweenItsParts) {
  RoutingPlan mixed(2, 128, 8);
  for (int l = 0; l < 2; ++l) {
    for (std::size_t e = 1; e < 128; e += 2) mixed.variant(l)[e] = 1;
  }
  const Cost bf16 = cost(loads(80), {"bf16"}, mixed);
  const Cost int4 = cost(loads(80), {"int4"}, mixed);
  const Cost both = cost(loads(80), {"bf16", "int4"}, mixed);
  EXPECT_NEAR(both.energy.value, (bf16.energy.value + int4.energy.value) / 2, 1e-9);
  EXPECT_LT(int4.energy, bf16.energy);
}

}  // namespace
}  // namespace thermoe
