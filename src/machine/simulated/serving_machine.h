// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "core/clock.h"
#include "core/serving.h"
#include "machine/disturbance.h"
#include "machine/machine.h"
#include "machine/simulated/arrivals.h"
#include "machine/simulated/continuous_batch.h"
#include "machine/simulated/simulated_gpu.h"
#include "machine/simulated/step_charge.h"
#include "machine/simulated/step_noise.h"

namespace thermoe {

/// What reading prompts costs, beside the expert layers and the decoding of the step that reads
/// them. docs/serving.md has where the default is from.
struct PrefillCost {
  int tokens_per_step = 2048;  ///< of prompts that one step reads; longer ones are read in chunks
  Cost per_token{.latency = Seconds(17e-6), .energy = Joules(7e-3)};
  Cost per_step{};     ///< of a step that reads any
  bool paced = false;  ///< such a step waits for the period as others do
};

/// Most prompt tokens that a step asks the decoder for beside the others: a router picks nearly all
/// experts long before, and routing thousands of rows would say no more.
inline constexpr int kMostPromptRows = 128;

struct ServingMachineOptions {
  SimulatedGpuConfig gpu{};
  PlantCharge charge;  ///< of the expert layers; whose costs must outlive the machine
  /// Of a step of i + 1 sequences beside its expert layers; as many as the batch limit. Empty:
  /// `charge.other`, whatever the batch.
  std::vector<Lookup> other{};
  ServingEngine engine{};
  PrefillCost prefill{};
  ArrivalSpec arrivals{};
  /// Decodes the steps that read prompts: under no prices, whatever the plan in force. Absent: they
  /// are asked for as the others are.
  NextStep unpriced{};
  double step_noise = 0.0;  ///< [0, 1], relative deviation of a tick's step times
  std::vector<Disturbance> disturbances{};
};

/// A simulated GPU under an engine with continuous batching, to which requests come whether or not
/// it keeps up. Virtual time; deterministic for its seeds.
///
/// A step begins when the one before has ended and, unless it reads prompts, `period` after that
/// one began (`PrefillCost::paced`: in any case). Requests join at a step's start, first come first
/// served, up to the batch limit; a step that reads prompts decodes the other sequences beside it.
/// The step that reads a prompt's end gives its first token. Without a sequence there is no step
/// until the next request.
///
/// `next` is asked for the rows that the engine runs (its graph's, padding included) once a tick
/// for each number of rows; what it says stands for the tick's other steps of that number.
class ServingMachine final : public Machine {
 public:
  /// Throws UsageError for arrivals out of range, as `Arrivals` does.
  explicit ServingMachine(ServingMachineOptions options);

  const Clock& clock() const override { return clock_; }
  std::unique_ptr<Source> open_sensors() override;
  /// Reports `serving`. Step time and what stands beside it are of steps that ended in the tick and
  /// read no prompts; of those that did where there are no others.
  TickReport run_tick(Seconds until, Seconds period, const NextStep& next) override;

 private:
  struct Tick;  // what a tick asks and adds up

  void take_arrivals(Tick& tick);
  void run_some(Tick& tick);
  void begin_step(Tick& tick);
  void run_step(Tick& tick);
  void idle(Seconds dt, Tick& tick);
  Lookup charge(const BatchStep& step, Tick& tick) const;
  const Lookup& experts(int rows, bool unpriced, Tick& tick) const;

  ServingMachineOptions options_;
  VirtualClock clock_{};
  SimulatedGpu gpu_;
  Arrivals arrivals_;
  ContinuousBatch batch_;
  std::optional<Request> coming_{};  // the next to arrive; absent: none
  GpuWork work_{};                   // of the step under way
  BatchStep step_{};                 // likewise, where the GPU has one
  Seconds step_start_;               // of the last step that began
  StepNoise noise_;
};

}  // namespace thermoe
