// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "measure/measure_request.h"

namespace thermoe {

/// Which sensors the JSON of thermoe_sensors_open asks for. Throws FormatError.
SensorChoice read_sensor_choice(const std::string& text);

}  // namespace thermoe
