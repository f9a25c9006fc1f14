// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "cost/perturbation.h"
#include "machine/calibration/sensor_lag_fit.h"
#include "profile/record/op_record.h"

namespace thermoe {

/// How energy grows as the die warms under the same work: power by temperature over the work of a
/// step response, least squares, as a share of the power above `idle` at `reference`, the
/// temperature at which the tables' energies were measured. Idle's own leakage is in it, as costs
/// are above one idle. Nothing where the work spans less than 5 C, its power falls as it warms or
/// comes near `limit`, at which power says nothing of leakage.
std::optional<ThermalPerturbation> fit_leakage(const ThermalRecord& record, Celsius reference,
                                               Watts idle, std::optional<Watts> limit);

/// How executions slow down beyond 95 % of the power limit: their time over that in short bursts,
/// by measured power, least squares through 1 at the knee. Nothing where the power did not come
/// there.
std::optional<PowerPerturbation> fit_slowdown(const StrainRecord& record);

/// The highest power that its work reached.
Watts highest_power(const StrainRecord& record);

/// Delay, window and period of the power sensor, from the bursts; its period is the median time
/// between two readings that differ.
std::optional<SensorLagFit> fit_sensor_lag(const StrainRecord& record);

}  // namespace thermoe
