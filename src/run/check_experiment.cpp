// SPDX-License-Identifier: Apache-2.0
#include "run/check_experiment.h"

#include <cmath>
#include <optional>

#include "core/errors.h"
#include "run/text_streams.h"
#include "run/trace_decoder.h"

namespace thermoe {
namespace {

void need(bool condition, const Experiment& e, const char* key, const std::string& problem) {
  if (!condition) throw FormatError(e.path, key, problem);
}

/// What a run keeps in memory grows with its length: refused before it is begun, not by the system
/// in the middle of it.
void check_length(const Experiment& e) {
  constexpr double kMostTicks = 2e6;  // of a strategy: some 400 MB of figures
  constexpr double kMostSteps = 5e7;  // 400 MB of BASELINE's bits
  const double ticks = e.duration / e.tick;
  need(ticks <= kMostTicks, e, "/duration_s",
       fmt::format("is {}: {:.3g} ticks of {} s, of which a run keeps at most {:g}; shorten it, or "
                   "raise tick_s",
                   e.duration.value, ticks, e.tick.value, kMostTicks));
  constexpr double kMostRequests = 1e6;
  if (e.arrivals && e.arrivals->law.kind != ArrivalSpec::Kind::kRecorded) {
    const double requests = e.arrivals->law.rate_per_s * e.duration.value;
    need(requests <= kMostRequests, e, "/arrivals/rate_per_s",
         fmt::format("is {:g}: {:.3g} requests in {:g} s, of which a run keeps at most {:g}; lower "
                     "it, or shorten duration_s",
                     e.arrivals->law.rate_per_s, requests, e.duration.value, kMostRequests));
  }
  const double steps = ticks * e.decode_steps_per_tick;
  need(steps <= kMostSteps, e, "/decode_steps_per_tick",
       fmt::format("is {}: {:.3g} decode steps, of which a run keeps at most {:g}; lower it, or "
                   "shorten duration_s",
                   e.decode_steps_per_tick, steps, kMostSteps));
}

void check_reference(const Experiment& e, const ModelConfig& model) {
  constexpr double kMostReference = 4e9;  // bytes of BASELINE's predictions
  if (e.kl_every == 0) return;
  const double steps = e.duration / e.tick * e.decode_steps_per_tick;
  const double bytes = steps * e.batch * model.vocab * sizeof(float);
  need(bytes / e.kl_every <= kMostReference, e, "/kl_every",
       fmt::format("is {}: BASELINE's predictions to compare with would take {:.3g} GB of memory, "
                   "more than {:g}; raise it to {:.0f} or more, or set it to 0",
                   e.kl_every, 1e-9 * bytes / e.kl_every, 1e-9 * kMostReference,
                   std::ceil(bytes / kMostReference)));
}

void check_texts(const Experiment& e, const RunTexts& texts) {
  constexpr const char* kProblem = "{}: has no document of {} bytes or more; give a longer text";
  need(TextStreams::usable(texts.decoded), e, "/text/file",
       fmt::format(kProblem, e.text.file, TextStreams::kShortestDocument));
  need(TextStreams::usable(texts.calibration), e, "/text/calibration",
       fmt::format(kProblem, e.text.calibration, TextStreams::kShortestDocument));
}

/// On a real GPU the air cannot be warmed, and the other tenant is one process, calibrated to a
/// share of the watts between idle and limit.
void check_disturbances(const Experiment& e) {
  if (e.machine != MachineKind::kGpu) return;
  std::optional<double> fraction;
  for (std::size_t i = 0; i < e.disturbances.size(); ++i) {
    const Disturbance& d = e.disturbances[i];
    const std::string key = fmt::format("/disturbances/{}", i);
    need(d.kind != Disturbance::Kind::kAmbient, e, (key + "/kind").c_str(),
         "is ambient: a real GPU's air cannot be warmed from here; leave it out, or run on the "
         "simulated machine");
    if (d.kind != Disturbance::Kind::kBackground) continue;
    need(d.power_fraction.has_value(), e, (key + "/power_fraction").c_str(),
         "is missing: on a real GPU another tenant is given by its share of the watts between idle "
         "and limit; add it, or run on the simulated machine");
    need(!fraction || *fraction == *d.power_fraction, e, (key + "/power_fraction").c_str(),
         fmt::format("is {}, the one before {}: a real GPU has one other tenant; give all the same",
                     *d.power_fraction, fraction.value_or(0.0)));
    fraction = d.power_fraction;
  }
}

/// A step of an engine has so many rows, each a token of its own.
void check_rows(const ExperimentInputs& inputs) {
  const Experiment& e = inputs.experiment;
  const std::optional<int> rows = e.most_rows();
  if (!rows) return;
  const RouterLogits& trace = inputs.trace.value();
  need(*rows <= most_sequences(trace), e, "/engine/batch_limit",
       fmt::format("is {}: steps of up to {} rows, prompts and padding included, and {} holds {} "
                   "tokens; lower it (or larger_batch_limit), or record more",
                   e.engine.serving.batch_limit, *rows, e.trace->file, most_sequences(trace)));
  for (const Strategy strategy : e.strategies) {
    batch_costs(inputs, strategy, trace.samples.front().layers);
    other_by_sequences(inputs, e.serving_engine(strategy));
  }
}

/// What holds whoever routes: `k` of the experts a token.
void check_router(const ExperimentInputs& inputs, int experts, int k) {
  const Experiment& e = inputs.experiment;
  const ExpertShape& shape = inputs.shape;
  need(e.control.k_min <= k, e, "/control/k_min",
       fmt::format("is {}, must not exceed the {} experts per token", e.control.k_min, k));
  need(experts == shape.experts && k == shape.top_k, e, "/costed_as",
       inputs.trace
           ? fmt::format("{} has {} experts and takes {} a token, the trace {} has {} and takes "
                         "{}: name a shape of those numbers, and give both cost models its op, "
                         "moe_experts [{}, {}, d_model, d_ff] (docs/cost-model.md); thermoe price "
                         "and thermoe traces take the trace without it",
                         shape.name, shape.experts, shape.top_k, e.trace->file, experts, k, experts,
                         k)
           : fmt::format("{} has {} experts and takes {} a token, the model has {} and takes {}: "
                         "its loads cannot be charged as that shape; use a model of the same "
                         "numbers",
                         shape.name, shape.experts, shape.top_k, experts, k));
  check_length(e);
  check_disturbances(e);
  const bool calibrated = e.machine == MachineKind::kGpu && e.gpu.calibrate;
  if (!calibrated) check_costs(inputs);
}

}  // namespace

void check_experiment(const ExperimentInputs& inputs, const ModelConfig& model) {
  const Experiment& e = inputs.experiment;
  need(e.text.context <= model.context, e, "/text/context",
       fmt::format("is {}, must not exceed the model's {}", e.text.context, model.context));
  check_router(inputs, model.experts, model.top_k);
  check_reference(e, model);
  check_texts(e, inputs.texts.value());
}

void check_experiment(const ExperimentInputs& inputs) {
  const RouterLogits& trace = inputs.trace.value();
  check_router(inputs, trace.spec.experts, trace.spec.k);
  check_rows(inputs);
}

void check_costs(const ExperimentInputs& inputs) {
  const Experiment& e = inputs.experiment;
  inputs.costs.step_cost(inputs.shape, inputs.dtypes, e.batch, 1.0);
  if (e.machine == MachineKind::kGpu) return;
  for (const std::string& dtype : inputs.dtypes) {
    inputs.plant_costs.layer(inputs.shape, dtype, e.batch, inputs.shape.top_k);
  }
}

}  // namespace thermoe
