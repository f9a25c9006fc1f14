// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "control/controller_config.h"
#include "core/json_file.h"
#include "core/serving.h"
#include "core/targets.h"

namespace thermoe {

// The parts of experiment files and of an engine's configuration that are the same in both. All
// throw FormatError.

/// All of "targets".
Targets read_targets(JsonObject targets);
/// Members of "control".
void read_guard_rails(JsonObject& control, GuardRails& guard);
/// Members of "control": how late the power sensor is and what it averages over; absent where they
/// do not say.
void read_sensor_lag(JsonObject& control, std::optional<Seconds>& delay,
                     std::optional<Seconds>& window);

/// Most sequences or rows of a step that a file can ask for.
inline constexpr int kMostSequences = 65536;
/// Members of "engine": how many sequences it decodes at once.
ServingEngine read_batching(JsonObject& engine);

}  // namespace thermoe
