// SPDX-License-Identifier: Apache-2.0
#include "machine/simulated/thermal_response.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/errors.h"

namespace thermoe {

Celsius ThermalParameters::steady(Watts power) const {
  Celsius temperature = ambient;
  for (const ThermalPole& pole : poles) temperature += pole.resistance * power;
  return temperature;
}

ThermalResponse::ThermalResponse(ThermalParameters parameters, Watts power,
                                 std::optional<Celsius> start)
    : parameters_(std::move(parameters)) {
  for (const ThermalPole& pole : parameters_.poles) {
    THERMOE_EXPECT(std::isfinite(pole.resistance.value) && pole.resistance.value >= 0.0 &&
                       std::isfinite(pole.time_constant.value) && pole.time_constant.value > 0.0,
                   "thermal pole r={} K/W, tau={} s: r >= 0 and tau > 0 are needed",
                   pole.resistance.value, pole.time_constant.value);
    rise_.push_back(pole.resistance * power);
  }
  if (!start) return;
  THERMOE_EXPECT(!rise_.empty(), "a start of {} C needs a pole to hold it", start->value);
  const auto slowest = std::ranges::max_element(parameters_.poles, {}, &ThermalPole::time_constant);
  rise_[static_cast<std::size_t>(slowest - parameters_.poles.begin())] += *start - temperature();
}

void ThermalResponse::advance(Watts power, Seconds dt) {
  for (std::size_t k = 0; k < rise_.size(); ++k) {
    const ThermalPole& pole = parameters_.poles[k];
    const Celsius settled = pole.resistance * power;
    rise_[k] = settled + std::exp(-(dt / pole.time_constant)) * (rise_[k] - settled);
  }
}

Celsius ThermalResponse::temperature() const {
  Celsius temperature = parameters_.ambient;
  for (const Celsius rise : rise_) temperature += rise;
  return temperature;
}

}  // namespace thermoe
