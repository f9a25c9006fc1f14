// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "cost/perturbation.h"
#include "machine/calibration/sensor_lag_fit.h"
#include "profile/record/op_record.h"

namespace thermoe {

/// How energy grows with the die's temperature: what the board's power loses a degree while the
/// die cools behind the work of a step response, least squares, as a share of the work's power
/// above `idle`. At rest, as a board at its limit draws the same at any temperature. `reference` is
/// the temperature at which the tables' energies were measured. Nothing where the die cools by less
/// than 3 C or the power does not fall with it.
std::optional<ThermalPerturbation> fit_leakage(const ThermalRecord& record, Celsius reference,
                                               Watts idle);

/// How executions slow down beyond 95 % of the power limit: their time over that at the beginning
/// of short bursts (median), by measured power, least squares through 1 at the knee. Nothing where
/// the power did not come there.
std::optional<PowerPerturbation> fit_slowdown(const StrainRecord& record);

/// The highest power that its work reached.
Watts highest_power(const StrainRecord& record);

/// Delay, window and period of the power sensor, from the bursts; its period is the median time
/// between two readings that differ.
std::optional<SensorLagFit> fit_sensor_lag(const StrainRecord& record);

}  // namespace thermoe
