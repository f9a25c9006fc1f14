// SPDX-License-Identifier: Apache-2.0
#include "run/run_experiment.h"

#include <cmath>
#include <utility>

#include "control/pricing.h"
#include "core/errors.h"
#include "machine/simulated/serving_machine.h"
#include "machine/simulated/simulated_machine.h"
#include "run/provenance.h"
#include "run/sample_logits.h"
#include "run/schedule.h"
#include "run/strategy_run.h"

namespace thermoe {
namespace {

/// Gate logits under BASELINE. A trace's steps need no context to fill up, and each is a sample.
std::vector<LogitSample> calibration(const ExperimentInputs& inputs, const RunServices& services) {
  LogitSampling sampling{.warmup_steps = inputs.experiment.warmup_steps,
                         .samples = calibration_samples(inputs)};
  if (inputs.trace) sampling = {.warmup_steps = 0, .samples = sampling.samples, .spacing = 1};
  return sample_logits(services.calibration, sampling, services.progress, services.stop);
}

/// The BASELINE pass without a machine, for comparison only.
void record_baseline(const ExperimentInputs& inputs, const RunServices& services,
                     BaselineReference& reference) {
  const Experiment& e = inputs.experiment;
  StepDecoder& decoder = services.decoder;
  decoder.rewind();
  for (int i = 0; i < e.warmup_steps; ++i) decoder.next(decoder.baseline());
  const auto steps = std::lround(e.duration / e.tick) * e.decode_steps_per_tick;
  for (long i = 0; i < steps && !services.stop.load(); ++i) {
    const Prediction prediction = decoder.next(decoder.baseline()).prediction.value();
    reference.record(prediction.logits, target_nats(prediction.logits, prediction.targets),
                     prediction.restarts);
    services.progress.update("BASELINE pass (comparison only)", Seconds(static_cast<double>(i + 1)),
                             Seconds(static_cast<double>(steps)), "");
  }
}

std::vector<std::uint8_t> variants_of(const RoutingPlan& plan) {
  std::vector<std::uint8_t> variants;
  for (int l = 0; l < plan.layers(); ++l) {
    const auto row = plan.variant(l);
    variants.insert(variants.end(), row.begin(), row.end());
  }
  return variants;
}

/// The engine that takes the requests under a strategy, and what its steps cost.
void give_engine(const ExperimentInputs& inputs, Strategy strategy, ControllerConfig& config) {
  config.strategy = strategy;
  if (!inputs.experiment.arrivals) return;
  config.engine = inputs.experiment.serving_engine(strategy);
  config.batch_costs = batch_costs(inputs, strategy, config.layers);
}

ControllerConfig controller_config(const ExperimentInputs& inputs, const StepDecoder& decoder,
                                   const StepCost& costs, std::vector<LogitSample> calibration) {
  const Experiment& e = inputs.experiment;
  const RoutingPlan& baseline = decoder.baseline();
  ControllerConfig config;
  config.mode = e.control.mode;
  config.targets = e.targets;
  config.objective = e.objective;
  config.layers = baseline.layers();
  config.router = decoder.router();
  config.k_min = e.control.k_min;
  config.price = e.control.price;
  config.step_period = e.step_period();
  config.tick = e.tick;
  if (inputs.costs.has_thermal() || e.targets.temperature) config.thermal = inputs.costs.thermal();
  config.lag = {.delay = e.control.sensor_delay.value(), .window = e.control.sensor_window.value()};
  config.guard = e.control.guard;
  config.seed = e.seed;
  config.costs = costs;
  give_engine(inputs, Strategy::kBaseline, config);
  config.calibration = std::move(calibration);
  if (inputs.dtypes.size() > 1) config.variant = variants_of(baseline);
  return config;
}

/// Requests are the same for every strategy of a round.
std::unique_ptr<Machine> serving_machine(const ExperimentInputs& inputs, StepDecoder& decoder,
                                         const Turn& turn, SimulatedGpuConfig gpu,
                                         const PlantCharge& charge) {
  const Experiment& e = inputs.experiment;
  const ServingEngine engine = e.serving_engine(turn.strategy);
  ArrivalSpec arrivals = e.arrivals->law;
  arrivals.seed += static_cast<std::uint64_t>(turn.round);
  return std::make_unique<ServingMachine>(ServingMachineOptions{
      .gpu = std::move(gpu),
      .charge = charge,
      .other = other_by_sequences(inputs, engine),
      .engine = engine,
      .prefill = e.engine.prefill,
      .arrivals = std::move(arrivals),
      .unpriced = [&decoder](std::optional<int> sequences) -> StepLoads {
        const RoutedStep step = decoder.next(decoder.baseline(), sequences);
        return {.plan = decoder.baseline(), .stats = step.stats, .sample = step.sample};
      },
      .step_noise = e.plant.step_noise,
      .disturbances = e.disturbances});
}

/// D of plain top-k: in the run, or on the calibration samples where BASELINE does not run, or not
/// at their batch.
double baseline_active(const RunResult& result, const ControllerConfig& config) {
  if (!config.engine) {
    for (const StrategySummary& s : result.summary.strategies) {
      if (s.name == to_string(Strategy::kBaseline)) return s.mean_active_experts;
    }
  }
  double active = 0.0;
  for (const LogitSample& sample : config.calibration) {
    active += plain_loads(Utilities(sample, config.router)).back().mean_active();
  }
  return active / static_cast<double>(config.calibration.size());
}

}  // namespace

MachineFactory simulated_machines(const ExperimentInputs& inputs, StepDecoder& decoder) {
  const double repeat = layer_repeat(inputs, decoder.baseline().layers());
  return [&inputs, &decoder, repeat](const Turn& turn) -> std::unique_ptr<Machine> {
    const Experiment& e = inputs.experiment;
    SimulatedGpuConfig gpu = inputs.gpu;
    gpu.seed += static_cast<std::uint64_t>(turn.round);
    const PlantCharge charge{.costs = inputs.plant_costs,
                             .shape = inputs.shape,
                             .dtypes = inputs.dtypes,
                             .layer_repeat = repeat,
                             .other = inputs.plant_other.lookup()};
    if (e.arrivals) return serving_machine(inputs, decoder, turn, std::move(gpu), charge);
    return std::make_unique<SimulatedMachine>(
        SimulatedMachineOptions{.gpu = std::move(gpu),
                                .charge = charge,
                                .step_noise = e.plant.step_noise,
                                .decode_steps_per_tick = e.decode_steps_per_tick,
                                .disturbances = e.disturbances});
  };
}

RunResult run_experiment(const ExperimentInputs& inputs, const std::string& folder,
                         const RunServices& services) {
  const Experiment& e = inputs.experiment;
  const RoutingPlan baseline = services.decoder.baseline();
  const StepCost costs = step_cost(inputs, baseline.layers());
  std::vector<Turn> turns = schedule(e.rounds, e.strategies, e.seed);
  if (e.round) std::erase_if(turns, [&](const Turn& turn) { return turn.round + 1 != *e.round; });

  MetricsLogger logger(folder, baseline.layers(), baseline.experts());
  ControllerConfig config =
      controller_config(inputs, services.decoder, costs, calibration(inputs, services));
  BaselineReference reference(e.kl_every);
  // A recorded router predicts nothing to compare: its losses are of router mass, and BASELINE's 0.
  if (turns.front().strategy != Strategy::kBaseline && e.kl_every > 0 && !inputs.trace) {
    record_baseline(inputs, services, reference);
  }

  const SafePlan safe = safe_plan(config);
  RunResult result;
  result.summary = {
      .device = inputs.machine.device, .simulated = inputs.machine.simulated, .seed = e.seed};
  for (const Turn& turn : turns) {
    if (services.stop.load()) return result;
    // A peak that the process already had says nothing of this strategy.
    const bool own_peak = services.reset_peak_memory();
    give_engine(inputs, turn.strategy, config);
    const std::unique_ptr<Controller> controller = services.make_controller(config);
    const std::unique_ptr<Machine> machine = services.make_machine(turn);
    StrategyRun run(turn, {.inputs = inputs,
                           .costs = costs,
                           .batch_costs = config.batch_costs ? &*config.batch_costs : nullptr,
                           .decoder = services.decoder,
                           .controller = *controller,
                           .safe = safe,
                           .machine = *machine,
                           .reference = reference,
                           .logger = logger,
                           .progress = services.progress,
                           .stop = services.stop,
                           .on_tick = services.on_tick});
    std::optional<StrategySummary> summary = run.run();
    if (!summary) return result;
    if (own_peak) summary->peak_memory_bytes = services.peak_memory_bytes();
    result.summary.strategies.push_back(std::move(*summary));
  }
  result.summary.costs =
      fmt::format("decisions: {}; costs: {}; {}", decisions_line(inputs), costs_line(inputs),
                  breadth_line(inputs, baseline_active(result, config)));
  write_summary(folder, result.summary);
  result.complete = true;
  return result;
}

}  // namespace thermoe
