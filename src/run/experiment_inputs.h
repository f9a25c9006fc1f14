// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "cost/kernel_cost_model.h"
#include "machine/simulated_gpu_config.h"
#include "run/document_text.h"
#include "run/experiment.h"
#include "run/text_streams.h"

namespace thermoe {

/// Everything an experiment reads, but the model: loaded and checked before anything is written.
struct ExperimentInputs {
  Experiment experiment{};
  KernelCostModel costs;              ///< the controller's
  KernelCostModel plant_costs;        ///< the plant's, energy_scale applied
  SimulatedGpuConfig gpu{};           ///< the plant's overrides applied
  ExpertShape shape{};                ///< `costed_as`
  std::vector<std::string> dtypes{};  ///< of the charged experts, one a precision variant
  DocumentText text;
  DocumentText calibration;
};

/// Throws FormatError or UsageError.
ExperimentInputs load_inputs(const Experiment& experiment);

/// The streams that every strategy of the experiment decodes.
TextStreamOptions stream_options(const Experiment& experiment);

}  // namespace thermoe
