// SPDX-License-Identifier: Apache-2.0
#include "engine/engine_costs.h"

#include <fmt/ranges.h>

#include "core/controlled_gpu.h"
#include "core/errors.h"
#include "core/json_file.h"
#include "cost/whole_step.h"

namespace thermoe {
namespace {

ExpertShape shape_of(const EngineConfig& config, const KernelCostModel& model) {
  if (config.shape) return *config.shape;
  if (const ExpertShape* shape = model.find_shape(config.costed_as)) return *shape;
  std::vector<std::string> known;
  for (const ExpertShape& shape : model.header().models) known.push_back(shape.name);
  const auto near = nearest_name(config.costed_as, known);
  throw FormatError(
      config.path, "/costed_as",
      fmt::format("is \"{}\", which {} does not name{}; it names: {}", config.costed_as,
                  model.header().path, near ? fmt::format(" (did you mean \"{}\"?)", *near) : "",
                  known.empty() ? "no model" : fmt::format("{}", fmt::join(known, ", "))));
}

void check_router(const EngineConfig& config, const ExpertShape& shape) {
  const RouterSpec& router = config.control.router;
  if (shape.experts == router.experts && shape.top_k == router.k) return;
  throw FormatError(
      config.path, "/costed_as",
      fmt::format("has {} experts, {} a token, but the model has {}, {} a token; cost "
                  "it as a shape of its own router",
                  shape.experts, shape.top_k, router.experts, router.k));
}

}  // namespace

EngineCosts::EngineCosts(const EngineConfig& config, const std::string& cost_model,
                         double energy_scale)
    : model_(KernelCostModel::load(cost_model).with_energy_scale(energy_scale)),
      shape_(shape_of(config, model_)),
      dtype_(config.dtype),
      engine_(config.engine),
      context_(config.context),
      layer_repeat_(static_cast<double>(shape_.layers) / config.control.layers) {
  check_router(config, shape_);
}

WholeStepQuestion EngineCosts::question(int rows) const {
  return {.shape = shape_,
          .batch = static_cast<double>(rows),
          .engine = engine_,
          .context = context_,
          .engine_key = "/engine/name",
          .layers_key = "/costed_as/layers"};
}

const StepCost& EngineCosts::at(int rows) {
  const auto found = known_.find(rows);
  if (found != known_.end()) return found->second;
  const StepCost experts = model_.step_cost(shape_, {dtype_}, rows, layer_repeat_);
  return known_
      .emplace(rows, with_other(experts, whole_step(model_, question(rows)), shape_.layers))
      .first->second;
}

BatchCosts EngineCosts::by_rows(const ServingEngine& engine) const {
  return batch_costs(model_, engine, {dtype_}, question(1), layer_repeat_);
}

PerturbationFactors EngineCosts::factors(const Snapshot& snapshot) const {
  const GpuReading* gpu = controlled_gpu(snapshot);
  if (gpu == nullptr) return {};
  return model_.perturbation().factors(gpu->temperature.value, gpu->power_instant.value);
}

Lookup EngineCosts::other(int rows) const { return whole_step(model_, question(rows)).lookup(); }

}  // namespace thermoe
