// SPDX-License-Identifier: Apache-2.0
#include "control/temperature_observer.h"

#include <cmath>

namespace thermoe {

FirstOrderThermal TemperatureObserver::shifted() const {
  FirstOrderThermal model = model_;
  model.ambient += offset_;
  return model;
}

void TemperatureObserver::update(Watts power, std::optional<Celsius> reading, Seconds dt) {
  if (!temperature_) {
    temperature_ = reading;
    return;
  }
  temperature_ = shifted().after(*temperature_, power, dt);
  if (!reading) return;
  // Gains that place both poles of the error dynamics at -1/settling.
  const double pole = 1.0 / settling_.value;
  const Celsius error = *reading - *temperature_;
  *temperature_ += 2.0 * pole * dt.value * error;
  offset_ += pole * pole * model_.time_constant.value * dt.value * error;
}

Celsius TemperatureObserver::after(Watts power, Seconds horizon) const {
  return shifted().after(temperature(), power, horizon);
}

}  // namespace thermoe
