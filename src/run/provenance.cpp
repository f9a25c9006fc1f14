// SPDX-License-Identifier: Apache-2.0
#include "run/provenance.h"

#include <fmt/format.h>

#include "run/trace_statistics.h"

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
  const ExpertShape& shape = inputs.shape;
  return fmt::format("{} shape ({} layers, {} experts of {} x {}, top-{}), {}; expert layers only",
                     shape.name, shape.layers, shape.experts, shape.d_model, shape.d_ff,
                     shape.top_k, inputs.machine.simulated ? "simulated" : "measured");
}

std::string breadth_line(const ExperimentInputs& inputs, double active) {
  const ExpertShape& shape = inputs.shape;
  const int tokens = inputs.experiment.batch;
  std::string line = fmt::format(
      "router: {:.1f} of {} experts a layer active for {} tokens under BASELINE, {:.0f} % of what "
      "uniform picks give",
      active, shape.experts, tokens,
      100.0 * active / uniform_active_experts(shape.experts, shape.top_k, tokens));
  for (const PublishedActive& published : shape.published) {
    if (published.tokens != tokens) continue;
    line += fmt::format("; {:.1f} are published for the real {} ({})", published.active_experts,
                        shape.name, published.source);
    if (active > 1.05 * published.active_experts) {
      line += ": the watts are those of a larger batch of it";
    }
  }
  return line;
}

}  // namespace thermoe
