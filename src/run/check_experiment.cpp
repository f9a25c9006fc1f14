// SPDX-License-Identifier: Apache-2.0
#include "run/check_experiment.h"

#include "core/errors.h"
#include "run/text_streams.h"

namespace thermoe {
namespace {

void need(bool condition, const Experiment& e, const char* key, const std::string& problem) {
  if (!condition) throw FormatError(e.path, key, problem);
}

void check_texts(const ExperimentInputs& inputs) {
  const Experiment& e = inputs.experiment;
  constexpr const char* kProblem = "{}: has no document of {} bytes or more; give a longer text";
  need(TextStreams::usable(inputs.text), e, "/text/file",
       fmt::format(kProblem, e.text.file, TextStreams::kShortestDocument));
  need(TextStreams::usable(inputs.calibration), e, "/text/calibration",
       fmt::format(kProblem, e.text.calibration, TextStreams::kShortestDocument));
}

}  // namespace

void check_experiment(const ExperimentInputs& inputs, const ModelConfig& model) {
  const Experiment& e = inputs.experiment;
  const ExpertShape& shape = inputs.shape;
  need(e.text.context <= model.context, e, "/text/context",
       fmt::format("is {}, must not exceed the model's {}", e.text.context, model.context));
  need(e.control.k_min <= model.top_k, e, "/control/k_min",
       fmt::format("is {}, must not exceed the model's {} experts per token", e.control.k_min,
                   model.top_k));
  need(model.experts == shape.experts && model.top_k == shape.top_k, e, "/costed_as",
       fmt::format(
           "{} has {} experts and takes {} a token, the model has {} and takes {}: its loads "
           "cannot be charged as that shape; use a model of the same numbers",
           shape.name, shape.experts, shape.top_k, model.experts, model.top_k));
  check_texts(inputs);
  // Both cost models must know this shape, these types and this batch: they throw, naming their
  // file.
  inputs.costs.step_cost(shape, inputs.dtypes, e.batch, 1.0);
  for (const std::string& dtype : inputs.dtypes) {
    inputs.plant_costs.layer(shape, dtype, e.batch, shape.top_k);
  }
}

}  // namespace thermoe
