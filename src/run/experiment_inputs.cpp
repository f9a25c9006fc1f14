// SPDX-License-Identifier: Apache-2.0
#include "run/experiment_inputs.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "core/errors.h"
#include "core/json_file.h"
#include "machine/simulated/plant_config.h"
#include "machine/simulated/simulated_machine.h"

namespace thermoe {
namespace {

SimulatedGpuConfig gpu_of(const Experiment& e) {
  SimulatedGpuConfig gpu = read_plant(find_file(e, "/plant/file", e.plant.file));
  gpu.idle_active += e.plant.idle_offset;
  if (e.plant.sensor_delay) gpu.sensor_delay = *e.plant.sensor_delay;
  gpu.seed = e.seed;
  if (gpu.idle_active < Watts(0)) {
    throw FormatError(e.path, "/plant/idle_offset_w", "leaves less than 0 W of idle; raise it");
  }
  return gpu;
}

/// What other tenants take, in watts of this GPU.
void fill_in_watts(std::vector<Disturbance>& disturbances, const SimulatedGpuConfig& gpu) {
  for (Disturbance& d : disturbances) {
    if (d.power_fraction) d.power = *d.power_fraction * (gpu.power_limit - gpu.idle_active);
  }
}

/// By the names in either file: who brings a controller's costs of their own may leave them out.
ExpertShape shape_of(const Experiment& e, const KernelCostModel& costs,
                     const KernelCostModel& plant_costs) {
  if (e.costed_as.given) return *e.costed_as.given;
  std::vector<std::string> known;
  for (const KernelCostModel* file : {&costs, &plant_costs}) {
    if (const ExpertShape* shape = file->find_shape(e.costed_as.name)) return *shape;
    for (const ExpertShape& shape : file->header().models) {
      if (std::ranges::find(known, shape.name) == known.end()) known.push_back(shape.name);
    }
  }
  const auto near = nearest_name(e.costed_as.name, known);
  throw FormatError(
      e.path, "/costed_as",
      fmt::format("is \"{}\", which neither {} nor {} names{}; they name: {}. Choose one, or give "
                  "{{\"name\", \"layers\", \"shape\"}} of a moe_experts table that both hold",
                  e.costed_as.name, costs.header().path, plant_costs.header().path,
                  near ? fmt::format(" (did you mean \"{}\"?)", *near) : "",
                  known.empty() ? "no model" : fmt::format("{}", fmt::join(known, ", "))));
}

void fill_in_lag(ExperimentInputs& inputs) {
  const SensorLag told = inputs.costs.header().sensors.value_or(SensorLag{});
  ControlSpec& control = inputs.experiment.control;
  control.sensor_delay = inputs.given_delay.value_or(told.delay);
  control.sensor_window = inputs.given_window.value_or(told.window);
}

/// Tokens of each of the trace's samples: a batch.
int batch_of(const Experiment& e, const std::string& path, const RouterLogits& trace) {
  int most = 0;
  for (const LogitSample& sample : trace.samples) most = std::max(most, sample.tokens);
  for (std::size_t i = 0; i < trace.samples.size(); ++i) {
    if (trace.samples[i].tokens == most) continue;
    throw FormatError(path, "router_logits",
                      fmt::format("sample {} holds {} tokens where others hold {} (padding counts "
                                  "for none); record batches of one size",
                                  i, trace.samples[i].tokens, most));
  }
  const int wanted = e.trace->batch.value_or(most);
  if (wanted != most) {
    throw FormatError(e.path, "/batch",
                      fmt::format("is {}, but the samples of {} hold {} tokens each; leave it out, "
                                  "or record batches of {}",
                                  wanted, path, most, wanted));
  }
  return most;
}

void load_trace(ExperimentInputs& inputs) {
  Experiment& e = inputs.experiment;
  const std::string path = find_file(e, "/trace/file", e.trace->file);
  inputs.trace = read_router_logits(path);
  e.batch = batch_of(e, path, *inputs.trace);
}

void load_arrivals(Experiment& e) {
  if (!e.arrivals) return;
  ArrivalSpec& law = e.arrivals->law;
  law.seed = e.seed;
  if (law.kind != ArrivalSpec::Kind::kRecorded) return;
  law.recorded = read_arrivals(find_file(e, "/arrivals/file", e.arrivals->file));
}

/// What the plant charges beside the expert layers of such a step: by its own file or, where that
/// knows none, by the controller's, as it is by the names of models: what an engine does beside the
/// experts is seldom measured twice.
WholeStep plant_step(const ExperimentInputs& inputs, const WholeStepQuestion& question) {
  const bool from_controllers =
      knows_others(inputs.costs, inputs.shape) && !knows_others(inputs.plant_costs, inputs.shape);
  const double scale = inputs.experiment.plant.energy_scale;
  return from_controllers ? whole_step(inputs.costs.with_energy_scale(scale), question)
                          : whole_step(inputs.plant_costs, question);
}

void fill_in_other(ExperimentInputs& inputs) {
  const Experiment& e = inputs.experiment;
  if (e.machine == MachineKind::kGpu) {
    if (e.engine.name || e.engine.context) {
      throw FormatError(e.path, "/engine",
                        "has no meaning on a real GPU, whose load is expert layers and their "
                        "routing; remove it, or run on the simulated machine");
    }
    inputs.other = load_proxy_step(inputs.costs, inputs.shape, e.batch);
    return;
  }
  const WholeStepQuestion question = step_question(e, inputs.shape);
  if (knows_others(inputs.costs, inputs.shape)) inputs.other = whole_step(inputs.costs, question);
  inputs.plant_other = plant_step(inputs, question);
}

RunTexts load_texts(const Experiment& e) {
  return {.decoded = DocumentText::load(find_file(e, "/text/file", e.text.file),
                                        find_file(e, "/text/index", e.text.index)),
          .calibration = DocumentText::load(
              find_file(e, "/text/calibration", e.text.calibration),
              find_file(e, "/text/calibration_index", e.text.calibration_index))};
}

}  // namespace

ExperimentInputs load_inputs(const Experiment& e) {
  check_serving(e);
  SimulatedGpuConfig gpu = gpu_of(e);
  // Not nested in what is returned: gcc 12 destroys it twice where a file further below is missing.
  MachineDescription machine = description_of(gpu);
  KernelCostModel costs = KernelCostModel::load(find_file(e, "/cost_model", e.cost_model));
  KernelCostModel plant_costs =
      KernelCostModel::load(find_file(e, "/plant/cost_model", e.plant.cost_model))
          .with_energy_scale(e.plant.energy_scale);
  ExpertShape shape = shape_of(e, costs, plant_costs);
  ExperimentInputs inputs{.experiment = e,
                          .shape = std::move(shape),
                          .given_delay = e.control.sensor_delay,
                          .given_window = e.control.sensor_window,
                          .machine = std::move(machine),
                          .costs = std::move(costs),
                          .plant_costs = std::move(plant_costs),
                          .gpu = std::move(gpu),
                          .dtypes = dtypes_of(e.expert_type)};
  fill_in_lag(inputs);
  fill_in_watts(inputs.experiment.disturbances, inputs.gpu);
  if (e.trace) {
    load_trace(inputs);
  } else {
    inputs.texts = load_texts(e);
  }
  load_arrivals(inputs.experiment);
  fill_in_other(inputs);  // of the batch, which a trace tells
  return inputs;
}

void use_costs(ExperimentInputs& inputs, KernelCostModel costs) {
  inputs.costs = std::move(costs);
  fill_in_lag(inputs);
  fill_in_other(inputs);  // a calibration's layers have routing and gaps in them already
}

WholeStepQuestion step_question(const Experiment& e, const ExpertShape& shape) {
  return {.shape = shape,
          .batch = static_cast<double>(e.batch),
          .engine = e.engine.name,
          .context = e.engine.context,
          .engine_key = e.path + ": /engine/name",
          .layers_key = "/costed_as/layers"};
}

StepCost step_cost(const ExperimentInputs& inputs, int layers) {
  return with_other(inputs.costs.step_cost(inputs.shape, inputs.dtypes, inputs.experiment.batch,
                                           layer_repeat(inputs, layers)),
                    inputs.other, inputs.shape.layers);
}

std::optional<BatchCosts> batch_costs(const ExperimentInputs& inputs, Strategy strategy,
                                      int layers) {
  const Experiment& e = inputs.experiment;
  if (!e.arrivals) return std::nullopt;
  return batch_costs(inputs.costs, e.serving_engine(strategy), inputs.dtypes,
                     step_question(e, inputs.shape), layer_repeat(inputs, layers));
}

std::vector<Lookup> other_by_sequences(const ExperimentInputs& inputs,
                                       const ServingEngine& engine) {
  std::vector<Lookup> others;
  WholeStepQuestion question = step_question(inputs.experiment, inputs.shape);
  for (int sequences = 1; sequences <= engine.batch_limit; ++sequences) {
    question.batch = engine.rows(sequences);
    others.push_back(plant_step(inputs, question).lookup());
  }
  return others;
}

double asked_tokens_per_second(const Experiment& e, double requests) {
  const ArrivalSpec& law = e.arrivals.value().law;
  double tokens = 0.0;
  for (const Request& request : law.recorded) {
    if (request.at < e.duration) tokens += request.tokens_out;
  }
  if (law.kind != ArrivalSpec::Kind::kRecorded) tokens = requests * law.tokens_out.mean;
  return tokens / e.duration.value;
}

double layer_repeat(const ExperimentInputs& inputs, int layers) {
  return static_cast<double>(inputs.shape.layers) / layers;
}

int calibration_samples(const ExperimentInputs& inputs) {
  const int wanted = inputs.experiment.calibration_samples;
  return inputs.trace ? std::min(wanted, static_cast<int>(inputs.trace->samples.size())) : wanted;
}

std::vector<std::string> dtypes_of(ExpertType type) {
  switch (type) {
    case ExpertType::kSimple:
      return {"bf16"};
    case ExpertType::kQuantized:
      return {"int4"};
    case ExpertType::kMixed:
      return {"bf16", "int4"};
  }
  return {};
}

TextStreamOptions stream_options(const Experiment& e) {
  return {.streams = e.batch,
          .context = e.text.context,
          .seed = e.seed,
          .high_complexity = e.workload == Workload::kHighComplexity};
}

}  // namespace thermoe
