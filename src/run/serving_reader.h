// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>

#include "core/json_file.h"
#include "run/experiment.h"

namespace thermoe {

/// The requests that arrive, where an experiment has "arrivals"; then refuses the keys that say the
/// same in another way. Throws FormatError.
std::optional<ArrivingSpec> read_arriving(JsonObject& experiment, const nlohmann::json& value);

/// "engine"; what only an engine under arrivals has is refused where none arrive.
EngineSpec read_engine(JsonObject engine, bool serves);

/// As the readers above have them.
nlohmann::json arriving_json(const ArrivingSpec& arriving);
nlohmann::json engine_json(const EngineSpec& engine, bool serves);

}  // namespace thermoe
