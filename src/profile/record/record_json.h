// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "core/json_file.h"
#include "profile/record/op_record.h"

namespace thermoe {

// One line of a profile's records each. The readers throw FormatError naming the file and the key;
// what they give back is what was written.

nlohmann::ordered_json to_json(const ProfileFacts& facts);
nlohmann::ordered_json to_json(const TimeRecord& record);
nlohmann::ordered_json to_json(const EnergyRecord& record);
nlohmann::ordered_json to_json(const ThermalRecord& record);
nlohmann::ordered_json to_json(const StrainRecord& record);
/// Adds the record that the line is.
void read_record(JsonObject line, ProfileRecords& records);

}  // namespace thermoe
