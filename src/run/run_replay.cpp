// SPDX-License-Identifier: Apache-2.0
#include "run/run_replay.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include "core/errors.h"
#include "cost/whole_step.h"
#include "machine/simulated/simulated_gpu.h"
#include "machine/simulated/step_charge.h"
#include "run/experiment_inputs.h"

namespace thermoe {
namespace {

/// Of a cooler and the air about it. Turns of a minute hardly tell it, so it is held: what it
/// decides is in docs/cost-model.md, "A recorded run, predicted".
constexpr Seconds kCoolerTime{120.0};

/// Sums that figures are made of.
class Errors {
 public:
  void add(const RecordedTick& tick, const TickReport& ran) {
    time_ += tick.length;
    if (tick.power) {
      known_ += tick.length;
      measured_ += *tick.power * tick.length;
      predicted_ += *ran.truth.mean_power * tick.length;
    }
    steps_ += tick.steps;
    measured_step_ += tick.steps * tick.step_time;
    predicted_step_ += tick.steps * ran.step_time;
    if (!tick.temperature) return;
    const double error = (*ran.truth.temperature - *tick.temperature).value;
    squares_ += error * error;
    most_ = std::max(most_, std::abs(error));
    ++degrees_;
  }

  ReplayFigures figures() const {
    ReplayFigures f{.time = time_};
    if (known_ > Seconds(0)) f.measured = measured_ / known_, f.predicted = predicted_ / known_;
    if (steps_ > 0.0) {
      f.measured_step = measured_step_ / steps_, f.predicted_step = predicted_step_ / steps_;
    }
    if (degrees_ > 0) f.temperature_rms = std::sqrt(squares_ / degrees_), f.temperature_max = most_;
    return f;
  }

 private:
  Seconds time_{}, known_{};
  Joules measured_{}, predicted_{};
  double steps_ = 0.0;
  Seconds measured_step_{}, predicted_step_{};
  double squares_ = 0.0, most_ = 0.0;
  int degrees_ = 0;
};

/// Errors of a turn or a run, and of its time with and without a tenant.
struct SplitErrors {
  Errors all{}, alone{}, beside_tenant{};

  void add(const RecordedTick& tick, const TickReport& ran) {
    const bool tenant =
        tick.disturbance.background_power > Watts(0) || tick.disturbance.bandwidth_share > 0.0;
    all.add(tick, ran);
    (tenant ? beside_tenant : alone).add(tick, ran);
  }
  ReplayTurn figures(const std::string& name) const {
    return {name, all.figures(), alone.figures(), beside_tenant.figures()};
  }
};

/// Loads of a step of which only the distinct experts are known: that is all a charge depends on.
RoutingStats loads_of(const RecordedTick& tick, int experts, int tokens) {
  RoutingStats stats{
      .layers = static_cast<int>(tick.active.size()), .experts = experts, .tokens = tokens};
  stats.counts.assign(tick.active.size() * static_cast<std::size_t>(experts), 0);
  for (std::size_t l = 0; l < tick.active.size(); ++l) {
    const auto layer = stats.counts.begin() + static_cast<std::ptrdiff_t>(l) * experts;
    std::fill_n(layer, std::clamp(tick.active[l], 0, experts), 1);
  }
  return stats;
}

const ExpertShape& shape_of(const RecordedRun& run, const KernelCostModel& costs) {
  const ChargedAs& charged = run.experiment.costed_as;
  if (charged.given) return *charged.given;
  if (const ExpertShape* shape = costs.find_shape(charged.name)) return *shape;
  throw UsageError(fmt::format(
      "{}: /models: does not name {}, as which {} was charged; add its layers and shape there",
      costs.header().path, charged.name, run.folder));
}

Celsius start_of(const RecordedTurn& turn, const SimulatedGpuConfig& gpu) {
  const auto known = std::ranges::find_if(
      turn.ticks, [](const RecordedTick& tick) { return tick.temperature.has_value(); });
  return known == turn.ticks.end() ? gpu.thermal.steady(gpu.idle_active) : *known->temperature;
}

/// Runs a turn; the weakest lookup of its steps.
Basis run_turn(const RecordedTurn& turn, const PlantCharge& charge, SimulatedGpuConfig config,
               int tokens, const std::function<void(const RecordedTick&, const TickReport&)>& saw) {
  config.start = start_of(turn, config);
  SimulatedGpu gpu(config);
  Basis basis = Basis::kMeasured;
  for (const RecordedTick& tick : turn.ticks) {
    GpuWork work;
    if (tick.steps > 0.0) {
      const RoutingStats stats = loads_of(tick, charge.shape.experts, tokens);
      const Lookup step =
          step_charge(charge, stats, RoutingPlan(stats.layers, stats.experts, charge.shape.top_k));
      basis = weaker(basis, step.basis);
      work = {
          .step_time = step.cost.latency, .step_energy = step.cost.energy, .period = tick.period};
    }
    saw(tick, gpu.advance(tick.length, work, tick.disturbance));
  }
  return basis;
}

}  // namespace

ReplayHeat fit_heat(const RecordedRun& run, const ThermalParameters& plant, Watts idle) {
  const std::vector<HeatTrace> traces = heat_traces(run);
  if (traces.empty()) {
    throw UsageError(fmt::format(
        "{}/metrics.csv: no tick has both power_true_w and temperature_true_c; heat cannot be "
        "fitted to it, name another run",
        run.folder));
  }
  std::vector<Seconds> times;
  for (const ThermalPole& pole : plant.poles) times.push_back(pole.time_constant);
  times.push_back(kCoolerTime);
  std::optional<PoleFit> fit = fit_poles(traces, idle, times);
  if (!fit) {
    throw UsageError(fmt::format(
        "{}/metrics.csv: does not tell thermal constants apart: its powers hardly change, or last "
        "too short a time; name a run with steps of tens of watts over a minute or more",
        run.folder));
  }
  return {.parameters = std::move(fit->parameters), .source = run.folder, .fitted_rms = fit->rms};
}

std::optional<double> ReplayFigures::power_error() const {
  if (!measured || *measured == Watts(0)) return std::nullopt;
  return *predicted / *measured - 1.0;
}

std::optional<double> ReplayFigures::step_error() const {
  if (!measured_step || *measured_step == Seconds(0)) return std::nullopt;
  return *predicted_step / *measured_step - 1.0;
}

RunReplay replay(const RecordedRun& run, const KernelCostModel& costs, SimulatedGpuConfig gpu,
                 const ReplayHeat& heat) {
  const Experiment& e = run.experiment;
  const ExpertShape& shape = shape_of(run, costs);
  const std::vector<std::string> dtypes = dtypes_of(e.expert_type);
  if (dtypes.size() > 1) {
    throw UsageError(fmt::format(
        "{}: its experts are of {} precisions, and a run does not record which of them were "
        "active; replay one of a single precision",
        run.folder, dtypes.size()));
  }
  const WholeStep other = run.simulated ? whole_step(costs, step_question(e, shape))
                                        : load_proxy_step(costs, shape, e.batch);
  gpu.idle_active = costs.active_idle();
  gpu.thermal = heat.parameters;
  RunReplay result{.folder = run.folder,
                   .device = run.device,
                   .simulated = run.simulated,
                   .costs = costs.header().path,
                   .cost_device = costs.device(),
                   .coverage = coverage(other),
                   .idle = gpu.idle_active,
                   .heat = heat};
  if (const CostTable* table = costs.find_experts(shape, dtypes.front())) {
    result.cost_source = to_string(table->source());
  }
  SplitErrors of_run;
  for (const RecordedTurn& turn : run.turns) {
    const PlantCharge charge{
        .costs = costs,
        .shape = shape,
        .dtypes = dtypes,
        .layer_repeat = double(shape.layers) / double(turn.ticks.front().active.size()),
        .other = other.lookup()};
    SplitErrors of_turn;
    result.basis = weaker(result.basis, run_turn(turn, charge, gpu, e.batch,
                                                 [&](const auto& tick, const TickReport& ran) {
                                                   of_turn.add(tick, ran);
                                                   of_run.add(tick, ran);
                                                 }));
    result.turns.push_back(of_turn.figures(turn.name));
  }
  result.whole = of_run.figures("whole");
  return result;
}

}  // namespace thermoe
