// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cost/kernel_cost_model.h"
#include "cost/whole_step.h"
#include "machine/machine.h"
#include "machine/simulated/simulated_gpu_config.h"
#include "moe/router_logits.h"
#include "run/document_text.h"
#include "run/experiment.h"
#include "run/text_streams.h"

namespace thermoe {

/// What a model decodes.
struct RunTexts {
  DocumentText decoded;
  DocumentText calibration;
};

/// Everything an experiment reads, but the model: loaded and checked before anything is written.
struct ExperimentInputs {
  /// Of a trace: its batch is that of the samples. Its sensor lag is filled in, and the watts of
  /// tenants that it gives by their fraction.
  Experiment experiment{};
  ExpertShape shape{};  ///< `costed_as`
  /// As the experiment gives it, where it does: in `experiment` it is filled in.
  std::optional<Seconds> given_delay{}, given_window{};
  MachineDescription machine{};         ///< that runs it
  KernelCostModel costs;                ///< the controller's
  KernelCostModel plant_costs;          ///< the plant's, energy_scale applied
  WholeStep other{};                    ///< beside the expert layers, as the controller knows it
  WholeStep plant_other{};              ///< what is charged
  SimulatedGpuConfig gpu{};             ///< the plant's overrides applied
  std::vector<std::string> dtypes{};    ///< of the charged experts, one a precision variant
  std::optional<RunTexts> texts{};      ///< where a model decodes
  std::optional<RouterLogits> trace{};  ///< where a recorded router does: samples of one shape
};

/// Throws FormatError or UsageError.
ExperimentInputs load_inputs(const Experiment& experiment);

/// Puts others in the place of the controller's costs, with the sensor lag and the costs beside the
/// expert layers that they tell.
void use_costs(ExperimentInputs& inputs, KernelCostModel costs);

/// Whose whole steps an experiment charges beside experts of this shape, in the words of its file.
WholeStepQuestion step_question(const Experiment& experiment, const ExpertShape& shape);

/// The controller's costs of a step of a model of so many layers.
StepCost step_cost(const ExperimentInputs& inputs, int layers);

/// The same by the rows of the engine's steps, where requests arrive.
std::optional<BatchCosts> batch_costs(const ExperimentInputs& inputs, Strategy strategy,
                                      int layers);

/// What the plant charges beside the expert layers of a step of 1, 2, ... sequences.
std::vector<Lookup> other_by_sequences(const ExperimentInputs& inputs, const ServingEngine& engine);

/// Tokens a second that so many requests, which arrived in the time of the run, ask for: each the
/// law's mean, or what is recorded. Requires arrivals.
double asked_tokens_per_second(const Experiment& experiment, double requests);

/// How many charged layers each of the `layers` that the model routes stands for.
double layer_repeat(const ExperimentInputs& inputs, int layers);

/// Precisions of the experts that such a model is charged as, one a variant.
std::vector<std::string> dtypes_of(ExpertType type);

/// The streams that every strategy of the experiment decodes.
TextStreamOptions stream_options(const Experiment& experiment);
/// Samples that controllers are calibrated on: a trace has no others than those that it plays.
int calibration_samples(const ExperimentInputs& inputs);

}  // namespace thermoe
