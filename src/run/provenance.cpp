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
  const ExpertShape& shape = inputs.experiment.costed_as;
  return fmt::format("{} shape ({} layers, {} experts of {} x {}, top-{}), {}; expert MLPs only",
                     shape.name, shape.layers, shape.experts, shape.d_model, shape.d_ff,
                     shape.top_k, inputs.machine.simulated ? "simulated" : "measured");
}

std::string breadth_line(const ExperimentInputs& inputs, double active) {
  const ExpertShape& shape = inputs.experiment.costed_as;
  const int tokens = inputs.experiment.batch;
  std::string line = fmt::format(
      "router: {:.1f} of {} experts a layer active for {} tokens under BASELINE, {:.0f} % of what "
      "uniform picks give",
      active, shape.experts, tokens,
      100.0 * active / uniform_active_experts(shape.experts, shape.top_k, tokens));
  const auto published = published_active_experts(shape, tokens);
  if (!published) return line;
  line += fmt::format("; {:.1f} are published for the real {} (arXiv 2511.02237)", *published,
                      shape.name);
  if (active > 1.05 * *published) line += ": the watts are those of a larger batch of it";
  return line;
}

}  // namespace thermoe
