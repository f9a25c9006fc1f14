// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "run/experiment_inputs.h"

namespace thermoe {

/// Who made the decisions of a run and whose costs were charged for them, for every place that
/// shows its figures.
/// "shipped model", its file, or the recorded router and what it holds.
std::string decisions_line(const ExperimentInputs& inputs);
/// "Qwen3-30B-A3B shape (48 layers, 128 experts of 2048 x 768, top-8), simulated; expert layers
/// only", or "whole step: ..." with what the simulated machine charges beside them.
std::string costs_line(const ExperimentInputs& inputs);

/// How wide the router spreads under BASELINE, beside uniform picks and, where it is published, the
/// real model of the charged shape: what its watts stand for. `active`: distinct experts a layer.
std::string breadth_line(const ExperimentInputs& inputs, double active);

}  // namespace thermoe
