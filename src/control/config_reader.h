// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "control/controller_config.h"
#include "core/json_file.h"
#include "core/targets.h"

namespace thermoe {

// The parts of experiment files and of an engine's configuration that are the same in both. All
// throw FormatError.

/// All of "targets".
Targets read_targets(JsonObject targets);
/// Members of "control".
void read_guard_rails(JsonObject& control, GuardRails& guard);

}  // namespace thermoe
