// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moe/model_config.h"
#include "run/experiment_inputs.h"

namespace thermoe {

/// Whether an experiment, its files and the model fit together: what can be refused before a folder
/// is made and a byte is decoded. Throws FormatError naming the experiment's file and key.
void check_experiment(const ExperimentInputs& inputs, const ModelConfig& model);
/// The same for a recorded router.
void check_experiment(const ExperimentInputs& inputs);
/// The part of both that a run which calibrates leaves until its costs are there: whether the cost
/// models know the shape, the types and the batch. Throws UsageError naming their file.
void check_costs(const ExperimentInputs& inputs);

}  // namespace thermoe
