// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>

#include "machine/simulated/pole_fit.h"
#include "profile/record/op_record.h"

namespace thermoe {

/// `fit_poles` of a step response, with so many poles, 1 or 2: the time constants over a grid
/// that leave the least, fastest first. Absent where the temperature moved by less than three
/// degrees, which whole degrees do not resolve, or the readings are too few.
std::optional<PoleFit> fit_step_response(std::span<const ThermalSample> samples, int poles);

}  // namespace thermoe
