// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "control/controller.h"
#include "control/controller_config.h"
#include "core/serving.h"
#include "core/targets.h"
#include "core/units.h"
#include "cost/expert_shape.h"
#include "machine/disturbance.h"
#include "machine/simulated/arrivals.h"
#include "machine/simulated/serving_machine.h"
#include "moe/decoder.h"

namespace thermoe {

/// Text that is decoded: files of tools/corpus.
struct TextSpec {
  std::string file = "data/text/heldout.bin";
  std::string index = "data/text/heldout.json";
  std::string calibration = "data/text/calibration.bin";
  std::string calibration_index = "data/text/calibration.json";
  int context = 512;  ///< bytes of a window
};

/// A recorded router, which is decoded instead of text (moe/router_logits.h).
struct TraceSpec {
  std::string file{};
  std::optional<int> batch{};  ///< tokens that its samples must have; absent: those they have
};

/// The simulated GPU, apart from the controller's model of it.
struct PlantSpec {
  std::string file = "data/h100/plant.json";
  std::string cost_model = "data/h100/plant_cost_model.json";
  double energy_scale = 1.0;              ///< on the plant's table: the GPU differs from the model
  Watts idle_offset{};                    ///< on the plant's active idle
  std::optional<Seconds> sensor_delay{};  ///< instead of the plant file's
  double step_noise = 0.0;                ///< relative deviation of a tick's step time
};

/// The real GPU, where the experiment runs on one.
struct GpuSpec {
  /// Charged layers with weights of their own; absent: all. Fewer where memory is short: several
  /// layers then share one's.
  std::optional<int> distinct_layers{};
  bool calibrate = false;   ///< measure the costs of this load first, instead of reading a file's
  Seconds cool_down{30.0};  ///< longest wait before a turn for the first one's temperature
};

/// Options of the controllers.
struct ControlSpec {
  TthaMode mode = TthaMode::kBoth;
  int k_min = 1;
  std::optional<double> price{};  ///< lambda of STATIC_OPTIMAL, instead of a calibrated one
  /// How power sensors lag, as believed: the plant has its own. Absent: as the controller's cost
  /// model says; load_inputs fills them in.
  std::optional<Seconds> sensor_delay{}, sensor_window{};
  GuardRails guard{};
};

/// A model whose layers are charged: by its name in the controller's cost model, or by its sizes.
struct ChargedAs {
  std::string name = "Qwen3-30B-A3B";
  std::optional<ExpertShape> given{};
};

/// Whose steps are charged, where the cost models know more of them than their expert layers.
struct EngineSpec {
  std::optional<std::string> name{};  ///< absent: the only one that they know
  std::optional<double> context{};    ///< mean tokens of a sequence; absent: the least of the rows
  // Where requests arrive:
  ServingEngine serving{};
  std::optional<int> larger_batch_limit{};  ///< of LARGER_BATCH; absent: twice the limit
  PrefillCost prefill{};
};

/// Requests that arrive whether or not they can be served, instead of a fixed batch.
struct ArrivingSpec {
  ArrivalSpec law{};   ///< without those recorded and the seed, which load_inputs fills in
  std::string file{};  ///< of recorded ones
};

enum class MachineKind { kSimulated, kGpu };
enum class Workload { kStandard, kHighComplexity, kSmallBatch, kLargeBatch };

/// An experiment as a file under experiments/ describes it; docs/experiments.md documents each
/// field under the same name. Paths are as written; `find_file` resolves them.
struct Experiment {
  std::string path{};  ///< the file it was read from
  std::string name{};
  std::string description{};
  MachineKind machine = MachineKind::kSimulated;
  std::string model = "model/thermoe-e128.safetensors";
  TextSpec text{};
  std::optional<TraceSpec> trace{};  ///< in the place of model and text
  std::vector<Strategy> strategies{};
  int batch = 16;  ///< streams decoded together; of a trace once it is loaded (load_inputs)
  std::optional<double> tokens_per_second{1000.0};  ///< fixed rate; absent = saturated
  std::optional<ArrivingSpec> arrivals{};           ///< in the place of batch and rate
  Workload workload = Workload::kStandard;
  ExpertType expert_type = ExpertType::kSimple;
  Targets targets{};
  Objective objective = Objective::kEnergy;                     ///< where requests arrive
  std::string cost_model = "data/h100/kernel_cost_model.json";  ///< the controller's
  PlantSpec plant{};
  GpuSpec gpu{};
  ChargedAs costed_as{};  ///< the layers that the model's are charged as
  EngineSpec engine{};
  std::vector<Disturbance> disturbances{};
  ControlSpec control{};
  Seconds duration{240.0};
  Seconds tick{0.1};
  int decode_steps_per_tick = 1;  ///< real steps that stand for all steps of a tick
  int warmup_steps = 32;          ///< decoded under BASELINE before time 0, not measured
  int calibration_samples = 64;
  int kl_every = 1;            ///< decode steps between two samples of KL to BASELINE; 0 = none
  int rounds = 1;              ///< turns of every strategy
  std::optional<int> round{};  ///< only this one of them, from 1: others run apart
  std::uint64_t seed = 1;

  /// Time from one step's start to the next; 0 = saturated.
  Seconds step_period() const;
  /// The engine that takes the requests under a strategy.
  ServingEngine serving_engine(Strategy strategy) const;
  /// Rows of its engine's largest step, padding and prompts included, by the larger limit whether
  /// or not LARGER_BATCH is listed: what a strategy decodes must not depend on which others run.
  /// Absent where no requests arrive.
  std::optional<int> most_rows() const;
};

/// Reads an experiment file. Throws FormatError naming file, key, value and remedy.
Experiment read_experiment(const std::string& path);
/// The same from JSON; `path` is for messages and for resolving file names.
Experiment experiment_from(const nlohmann::json& json, const std::string& path);
/// All fields, defaults filled in: `experiment_from` reads it back.
nlohmann::json to_json(const Experiment& experiment);

/// Whether arrivals, engine, targets and strategies belong together. Throws FormatError naming key,
/// value and remedy.
void check_serving(const Experiment& experiment);

/// A shorter run of the same shape: one round of at most 60 s, disturbances and day moved along,
/// BASELINE and KERNEL_AWARE_TTHA only (of those that it has; the first strategy if it has
/// neither).
Experiment quick(Experiment experiment);

/// Where a file named in the experiment is: relative to the current directory first, then to the
/// folder above the experiment file's own (experiments/demo.json -> the project's root). Throws
/// FormatError naming `key` if it is in neither place.
std::string find_file(const Experiment& experiment, const std::string& key,
                      const std::string& name);

}  // namespace thermoe
