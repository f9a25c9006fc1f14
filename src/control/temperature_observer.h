// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "core/thermal_model.h"
#include "core/units.h"

namespace thermoe {

/// Follows a temperature sensor of 1 degree steps with the first-order model and one unknown, an
/// offset of the ambient (docs/theory.md eq. (12)). The offset is the temperature's integral
/// action: a warmer room, a wrong R or a second pole all end up in it. Its error decays as
/// exp(-t/settling) at any dt.
class TemperatureObserver {
 public:
  explicit TemperatureObserver(const FirstOrderThermal& model, Seconds settling = Seconds(2.0))
      : model_(model), settling_(settling) {}

  /// One tick at (believed) mean power, then the sensor's reading, where there is one.
  void update(Watts power, std::optional<Celsius> reading, Seconds dt);

  bool started() const { return temperature_.has_value(); }
  Celsius temperature() const { return temperature_.value_or(model_.ambient); }
  Celsius offset() const { return offset_; }
  /// Temperature after `horizon` at constant power.
  Celsius after(Watts power, Seconds horizon) const;

 private:
  FirstOrderThermal shifted() const;

  FirstOrderThermal model_;
  Seconds settling_;
  std::optional<Celsius> temperature_{};
  Celsius offset_{};
};

}  // namespace thermoe
