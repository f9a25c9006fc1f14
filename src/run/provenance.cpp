// SPDX-License-Identifier: Apache-2.0
#include "run/provenance.h"

#include <fmt/format.h>

namespace thermoe {

std::string decisions_line(const ExperimentInputs& inputs) {
  const Experiment& e = inputs.experiment;
  if (inputs.trace) {
    const LogitSample& first = inputs.trace->samples.front();
    return fmt::format(
        "recorded router {} ({} samples of {} layers, {} tokens, {} experts, top-{}, {}{}; "
        "in order and repeated, calibrated on the first {})",
        e.trace->file, inputs.trace->samples.size(), first.layers, first.tokens, first.experts,
        inputs.trace->spec.k, to_string(inputs.trace->spec.score),
        inputs.trace->told.score ? "" : " (assumed)", calibration_samples(inputs));
  }
  return e.model == Experiment{}.model ? "shipped model" : e.model;
}

std::string costs_line(const ExperimentInputs& inputs) {
  const ExpertShape& shape = inputs.experiment.costed_as;
  return fmt::format("{} shape ({} layers, {} experts of {} x {}, top-{}), {}; expert MLPs only",
                     shape.name, shape.layers, shape.experts, shape.d_model, shape.d_ff,
                     shape.top_k, inputs.machine.simulated ? "simulated" : "measured");
}

}  // namespace thermoe
