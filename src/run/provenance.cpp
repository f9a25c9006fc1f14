// SPDX-License-Identifier: Apache-2.0
#include "run/provenance.h"

#include <fmt/format.h>

#include "run/trace_statistics.h"

namespace thermoe {
namespace {

/// Which part of a step the figures stand for; where more is known than is charged, why.
std::string covered(const ExperimentInputs& inputs) {
  const WholeStep& charged = inputs.plant_other;
  const bool known =
      knows_others(inputs.plant_costs, inputs.shape) || knows_others(inputs.costs, inputs.shape);
  if (!inputs.machine.simulated || !known) return coverage(charged);
  if (!charged.other) {
    return fmt::format("{} ({})", coverage(charged), charged.experts_only_since);
  }
  return fmt::format("whole step: {}{}", coverage(charged),
                     inputs.other.other ? "" : "; the controller knows its expert layers only");
}

/// "FILE (calibrated)": a cost model, and where its expert layers are from.
std::string source_of(const std::string& file, const KernelCostModel& costs,
                      const ExperimentInputs& inputs) {
  const CostTable* table = costs.find_experts(inputs.shape, inputs.dtypes.front());
  return table == nullptr ? file : fmt::format("{} ({})", file, to_string(table->source()));
}

/// Whose costs were believed and charged where they are not those that every experiment has.
std::string given_files(const ExperimentInputs& inputs) {
  const Experiment& e = inputs.experiment;
  const Experiment usual;
  std::string text;
  if (e.cost_model != usual.cost_model) {
    text +=
        fmt::format("; the controller believes {}, sensors {:g} s late over {:g} s",
                    source_of(e.cost_model, inputs.costs, inputs),
                    e.control.sensor_delay.value().value, e.control.sensor_window.value().value);
  }
  if (e.plant.cost_model != usual.plant.cost_model) {
    text += fmt::format("; the simulated GPU charges {}",
                        source_of(e.plant.cost_model, inputs.plant_costs, inputs));
  }
  return text;
}

}  // namespace

std::string decisions_line(const ExperimentInputs& inputs) {
  const Experiment& e = inputs.experiment;
  if (inputs.trace) {
    const LogitSample& first = inputs.trace->samples.front();
    return fmt::format(
        "recorded router {} ({} samples of {} layers, {} tokens, {} experts, top-{}, {}{}; "
        "in order and repeated{}, calibrated on the first {})",
        e.trace->file, inputs.trace->samples.size(), first.layers, first.tokens, first.experts,
        inputs.trace->spec.k, to_string(inputs.trace->spec.score),
        inputs.trace->told.score ? "" : " (assumed)",
        e.arrivals ? ", as many tokens a step as are under way" : "", calibration_samples(inputs));
  }
  return e.model == Experiment{}.model ? "shipped model" : e.model;
}

std::string costs_line(const ExperimentInputs& inputs) {
  const ExpertShape& shape = inputs.shape;
  return fmt::format("{} shape ({} layers, {} experts of {} x {}, top-{}), {}; {}{}", shape.name,
                     shape.layers, shape.experts, shape.d_model, shape.d_ff, shape.top_k,
                     inputs.machine.simulated ? "simulated" : "measured", covered(inputs),
                     inputs.machine.simulated ? given_files(inputs) : "");
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
