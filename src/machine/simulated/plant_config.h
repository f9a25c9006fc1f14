// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "machine/simulated/simulated_gpu_config.h"

namespace thermoe {

/// Reads the simulated GPU's parameters (data/h100/plant.json, written by
/// tools/fit_thermal_model.py; docs/plant.md gives the schema). Throws FormatError naming file and
/// key.
SimulatedGpuConfig read_plant(const std::string& path);

}  // namespace thermoe
