// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/logit_sample.h"
#include "core/routing_plan.h"
#include "core/routing_stats.h"
#include "core/tick_report.h"
#include "telemetry/source.h"

namespace thermoe {

/// What the words about a run's figures are made from: whoever makes the machine says it.
struct MachineDescription {
  std::string device{};
  std::string driver{};    ///< empty where there is none
  bool simulated = false;  ///< its watts are made up
  /// Its time passes by itself and waits for no controller; a simulated machine's is virtual.
  bool real_time = false;
  // Of a real GPU:
  std::string uuid{};
  std::string cuda{};                           ///< newest version that its driver can run
  std::string load{};                           ///< what stands for the model's layers on it
  std::optional<std::uint64_t> device_bytes{};  ///< of its memory that the load takes
  std::vector<std::string> processes{};         ///< of others, that were on it before the run
};

/// A decode step that was routed, for the machine to run. Views: valid until the next one is asked
/// for.
struct StepLoads {
  const RoutingPlan& plan;    ///< whose version says which it was
  const RoutingStats& stats;  ///< tokens of each expert
  const LogitSample& sample;  ///< gate logits, for a machine that routes them itself
};
/// Decodes the next step under the newest plan: of so many sequences, or of as many as the decoder
/// has.
using NextStep = std::function<StepLoads(std::optional<int> sequences)>;

/// What burns the watts: a simulated GPU, or a real one under the load that the decisions make.
class Machine {
 public:
  virtual ~Machine() = default;
  /// The machine's time: 0 when it was made, idle.
  virtual const Clock& clock() const = 0;
  /// What a controller may see of it. The machine must outlive the source.
  virtual std::unique_ptr<Source> open_sensors() = 0;
  /// Runs decode steps until the clock shows `until`, a step each `period` (0: the next at once),
  /// and returns then. It asks `next`, on the caller's thread, for as many as it likes: those stand
  /// for all steps of the tick. Requires until > now.
  virtual TickReport run_tick(Seconds until, Seconds period, const NextStep& next) = 0;
};

}  // namespace thermoe
