// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/units.h"

namespace thermoe {

/// Which plan a controller has published; each next one gives up more of what was asked.
enum class PlanKind {
  kStrategy,   ///< the strategy's own
  kLastSound,  ///< the strategy's newest one that held no NaN
  kStatic,     ///< STATIC_OPTIMAL's, calibrated before the start
  kBaseline,   ///< plain top-k: full quality, the hottest of all
};

/// What keeps a step period from being longer.
enum class PeriodLimit {
  kStepTime,    ///< a step's own time without price: nobody gave a latency to spend
  kLatency,     ///< the target on time between tokens
  kSaving,      ///< a longer one would hardly save
  kBatchLimit,  ///< the batch would come near the engine's limit, or requests wait at it
  kFirstToken,  ///< the target on time to first token
  kObjective,   ///< throughput is asked for
  kCap,         ///< of pacing alone: the cap is met
};
/// step_time, latency, saving, batch_limit, first_token, objective, cap.
std::string_view to_string(PeriodLimit limit);

/// Named numbers for the log: what the controller believed and did.
struct ControllerState {
  double lambda = 0.0;
  std::optional<Watts> predicted_power{};
  std::optional<Watts> power_residual{};
  std::optional<Celsius> predicted_temperature{};
  std::optional<Celsius> temperature_residual{};
  std::optional<Seconds> predicted_step_time{};
  std::optional<Seconds> step_time_residual{};
  double predicted_active = 0.0;     ///< mean distinct experts a layer
  double predicted_kept_mass = 1.0;  ///< on the sampled logits, under the new plan
  double bias_norm = 0.0;            ///< L2 norm of all selection biases
  bool saturated = false;            ///< the target is out of reach: the plan is at its floor
  /// TTHA's loss and its terms, absent where no adapter runs.
  struct Losses {
    double total = 0.0, power = 0.0, temperature = 0.0, latency = 0.0, throughput = 0.0,
           quality = 0.0;
    double parameter_shift = 0.0;  ///< L2 distance of the adapter's parameters from their start
    double learning_rate = 0.0;
  };
  std::optional<Losses> losses{};
  /// Of strategies that choose the step period; absent where it is given.
  struct Pacing {
    Seconds step_period{};
    PeriodLimit period_limit = PeriodLimit::kStepTime;
    double batch = 0.0;            ///< in which that would settle, by model
    std::optional<Watts> power{};  ///< then drawn under BASELINE, by model and residuals
  };
  std::optional<Pacing> pacing{};
  PlanKind plan = PlanKind::kStrategy;  ///< BASELINE's and STATIC_OPTIMAL's own are kStrategy
  /// What runs instead of the strategy's plan and why, "the calibrated static plan: the power
  /// reading is ..."; empty while in control.
  std::string fallback{};
};

}  // namespace thermoe
