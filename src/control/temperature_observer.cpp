// SPDX-License-Identifier: Apache-2.0
#include "control/temperature_observer.h"

#include <algorithm>
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
  if (!reading || dt.value <= 0.0) return;
  // Gains of the discrete observer that put both poles of its error at exp(-dt / settling),
  // whatever dt is. A die faster than that would be followed with a negative gain: it needs none,
  // and the second pole then lies at what its own leaves.
  const double die = dt / model_.time_constant;
  const double first = dt / settling_;
  const double second = std::max(first, die - first);
  const double follow = -std::expm1(die - first - second);
  const double adjust = std::expm1(-first) * std::expm1(-second) / -std::expm1(-die);
  const Celsius error = *reading - *temperature_;
  *temperature_ += follow * error;
  offset_ += adjust * error;
}

Celsius TemperatureObserver::after(Watts power, Seconds horizon) const {
  return shifted().after(temperature(), power, horizon);
}

}  // namespace thermoe
