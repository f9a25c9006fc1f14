// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "control/controller.h"
#include "core/batch_costs.h"
#include "core/logit_sample.h"
#include "core/router_spec.h"
#include "core/sensor_lag.h"
#include "core/serving.h"
#include "core/step_cost.h"
#include "core/targets.h"
#include "core/thermal_model.h"
#include "core/units.h"

namespace thermoe {

/// Which halves of KERNEL_AWARE_TTHA run: the dual alone, the adapter alone (on top of the
/// calibrated, fixed lambda), or the dual solved on top of the adapter's biases.
enum class TthaMode { kBoth, kDualOnly, kAdapterOnly };
std::string_view to_string(TthaMode mode);  ///< both, dual_only, adapter_only
std::optional<TthaMode> ttha_mode_from(std::string_view name);
std::vector<std::string> ttha_mode_names();

/// The plan to run under a power or temperature target whose sensor cannot be trusted.
enum class SensorFallback { kStatic, kBaseline };
std::string_view to_string(SensorFallback fallback);  ///< static, baseline
std::optional<SensorFallback> sensor_fallback_from(std::string_view name);
std::vector<std::string> sensor_fallback_names();

/// What is saved: joules, by resting at the end of steps where nobody waits, or only time.
enum class Objective { kEnergy, kThroughput };
std::string_view to_string(Objective objective);  ///< energy, throughput
std::optional<Objective> objective_from(std::string_view name);
std::vector<std::string> objective_names();

/// When a controller must stop trusting itself, and what it then does.
struct GuardRails {
  double bias_clamp = 0.03;  ///< largest |selection bias|, in units of utility
  /// Nats: mean of Q = -ln(kept mass) over tokens, layers and the window, whichever denominator the
  /// model's weights have. What came before the start lost nothing.
  double max_quality_loss = 0.7;
  Seconds quality_window{60.0};
  Seconds stale_after{1.5};  ///< oldest usable reading; longest stillness where it should move
  SensorFallback fallback = SensorFallback::kStatic;  ///< BASELINE would break a cap at once
  Seconds recover_after{2.0};  ///< health must last this long before control resumes
  int valid_ticks = 10;        ///< a plan older than so many ticks gives way to the safe one
};

/// Weights and pace of the test-time adaptation (docs/theory.md eq. (16)).
struct AdapterOptions {
  double weight_power = 100.0, weight_temperature = 100.0, weight_latency = 100.0;
  double weight_throughput = 0.002, weight_quality = 1.0;
  double learning_rate = 3e-3, learning_rate_min = 1e-4, weight_decay = 1e-3;
  int restart_period = 100;      ///< updates before the first warm restart
  int restart_multiplier = 2;    ///< each following period is this many times longer
  double log_price_clamp = 2.0;  ///< largest |delta log lambda|
  int width = 16, heads = 2;
};

/// Everything that a controller is told before it sees its first observation.
struct ControllerConfig {
  Strategy strategy = Strategy::kBaseline;
  TthaMode mode = TthaMode::kBoth;
  Targets targets{};
  int layers = 0;
  RouterSpec router{};            ///< of the model that is controlled
  int k_min = 1;                  ///< each token's k_min best experts are never priced out
  std::optional<double> price{};  ///< lambda of STATIC_OPTIMAL; absent: as calibrated
  Seconds step_period{};          ///< a step starts each period; 0 = saturated
  /// Where requests arrive: who takes them. Strategies then choose the step period themselves.
  std::optional<ServingEngine> engine{};
  Objective objective = Objective::kEnergy;  ///< of such an engine; throughput: period 0
  Seconds tick{0.1};                         ///< between two decisions
  FirstOrderThermal thermal{};               ///< the controller's model, not the plant's
  SensorLag lag{};
  GuardRails guard{};
  AdapterOptions adapter{};
  std::uint64_t seed = 0;
  StepCost costs{};                         ///< reference costs: calibration happens with these
  std::optional<BatchCosts> batch_costs{};  ///< the same by rows; an engine needs them
  std::vector<LogitSample> calibration{};   ///< STATIC_OPTIMAL and adapter-only need some
  std::vector<std::uint8_t> variant{};      ///< [layers, experts] precision; empty = all 0
};

/// Throws UsageError for a config that no controller can serve; names the field, value and remedy.
void check(const ControllerConfig& config);

}  // namespace thermoe
