// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace thermoe {

/// data/h100/plant.json, looked for from the working directory and from the program's folder
/// upwards. Throws UsageError naming the places.
std::string find_plant();

}  // namespace thermoe
