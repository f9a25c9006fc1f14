// SPDX-License-Identifier: Apache-2.0
#include "run/experiment_inputs.h"

#include "core/errors.h"
#include "machine/plant_config.h"

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

}  // namespace

ExperimentInputs load_inputs(const Experiment& e) {
  SimulatedGpuConfig gpu = gpu_of(e);
  // Not nested in what is returned: gcc 12 destroys it twice where a file further below is missing.
  MachineIdentity machine{.device = gpu.name, .simulated = true};
  return {
      .experiment = e,
      .machine = std::move(machine),
      .costs = KernelCostModel::load(find_file(e, "/cost_model", e.cost_model)),
      .plant_costs = KernelCostModel::load(find_file(e, "/plant/cost_model", e.plant.cost_model))
                         .with_energy_scale(e.plant.energy_scale),
      .gpu = std::move(gpu),
      .dtypes = dtypes_of(e.expert_type),
      .text = DocumentText::load(find_file(e, "/text/file", e.text.file),
                                 find_file(e, "/text/index", e.text.index)),
      .calibration =
          DocumentText::load(find_file(e, "/text/calibration", e.text.calibration),
                             find_file(e, "/text/calibration_index", e.text.calibration_index))};
}

TextStreamOptions stream_options(const Experiment& e) {
  return {.streams = e.batch,
          .context = e.text.context,
          .seed = e.seed,
          .high_complexity = e.workload == Workload::kHighComplexity};
}

}  // namespace thermoe
