// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <optional>

#include "control/controller.h"
#include "control/controller_config.h"
#include "control/low_pass.h"
#include "control/power_residual.h"
#include "control/power_sensor.h"
#include "control/temperature_observer.h"
#include "core/step_cost.h"

namespace thermoe {

/// Power is budgeted so that the temperature is at its cap after so long (theory.md section 5).
inline constexpr Seconds kTemperatureHorizon{10.0};

/// What the machine would show under a plan of this cost, by model and residuals.
struct Forecast {
  Watts power{};
  Seconds step_time{};
  std::optional<Celsius> temperature{};  ///< after the horizon; absent until a sensor was read
};

/// Learns how the real machine differs from the cost model, and says which plans meet the targets.
///
/// Integral action is in the internal-model form: nothing is accumulated from the tracking error,
/// so nothing winds up. Two differences are learned (theory.md section 5):
///   residual  measured power - modelled power of the loads that ran, seen through the sensor's lag
///             (another tenant, a wrong table, idle power): fast, by both readings of power
///             (PowerResidual);
///   trim      modelled power of the loads that ran - what the plan had promised (sampling error of
///             D, whatever the adapter does to the router): low-passed, slow and bounded.
/// In steady state promise + residual + trim = measured, so meeting the target by forecast is
/// meeting it in truth. Step times have no sensor lag and scale: a tenant's share of the bandwidth
/// stretches every step by the same factor, hence ratios instead of differences. A target on power
/// is met in the mean, which is what heats and is billed; one on step time by 95 % of the ticks, as
/// somebody waits for each.
class HardwareTracker {
 public:
  explicit HardwareTracker(const ControllerConfig& config);

  /// One tick: what ran (`ran`: the cost model's view of it) and what the power sensor showed.
  void observe(const Observation& observation, const Cost& ran);
  /// Then the residuals, with the sensors only if they are `trusted`.
  void learn(const Observation& observation, const Cost& ran, bool trusted);
  /// Cost that the model predicts for the plan just published; nullopt if it cannot say.
  void expect(std::optional<Cost> cost) { promised_ = cost; }

  /// Steps start no sooner after one another from now on than so; and on the mean `stretch` times
  /// as late, for those among them that no period and no price holds.
  void pace(Seconds period, double stretch) { step_period_ = period, stretch_ = stretch; }

  Forecast forecast(const Cost& cost) const { return forecast(cost, step_period_); }
  Forecast forecast(const Cost& cost, Seconds period) const;
  bool meets(const Targets& targets, const Cost& cost) const;
  /// Of a mean power and step time that were forecast.
  bool meets(const Targets& targets, Watts power, Seconds step_time) const;

  Watts power_residual() const { return residual_.value() + Watts(trim_watts()); }
  Seconds step_time_residual() const { return last_step_time_residual_; }
  double step_time_ratio() const { return ratio_.value() * ratio_trim_.value(); }
  /// By which factor of the forecast one tick in twenty is longer: its texts pick other experts.
  double step_time_margin() const;
  const TemperatureObserver& temperature() const { return observer_; }
  const PowerSensor& power_sensor() const { return power_sensor_; }
  Watts active_idle() const { return active_idle_; }
  Seconds step_period() const { return step_period_; }

 private:
  struct Past {
    Seconds from{}, to{};
    Watts power{};
  };

  Watts modelled_power(const Cost& cost, Seconds measured_period) const;
  /// Absent if the past does not reach back `margin` further than the reading shows.
  std::optional<Watts> modelled_through_lag(Seconds read_at, Seconds window, Seconds margin) const;
  Seconds window_of(const PowerReading& power) const;
  void learn_power(const Observation& observation);
  void learn_reading(const PowerReading& power, Seconds shown_at);
  void learn_promise(const Observation& observation, const Cost& ran);
  void learn_step_time(const Observation& observation, const Cost& ran);
  double trim_watts() const;
  std::optional<Celsius> temperature_at(Watts power) const;

  SensorLag lag_;
  Seconds step_period_;
  double stretch_ = 1.0;
  double trim_limit_;
  Watts active_idle_{};
  std::deque<Past> past_{};
  PowerSensor power_sensor_;
  std::optional<Seconds> last_news_{};     ///< when the reading last learned from was read
  std::optional<Seconds> last_average_{};  ///< likewise, of the average beside the instant reading
  PowerResidual residual_{};
  LowPass trim_{Seconds(2.0)};
  LowPass ratio_{Seconds(0.3), 1.0};
  LowPass ratio_trim_{Seconds(2.0), 1.0};
  LowPass step_time_variance_{Seconds(5.0)};  ///< of measured / forecast
  Seconds last_step_time_residual_{};
  TemperatureObserver observer_;
  std::optional<Cost> promised_{};
};

}  // namespace thermoe
