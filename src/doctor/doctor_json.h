// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "doctor/diagnosis.h"

namespace thermoe::doctor {

/// For programs; docs/doctor.md says what each member is. `version` is the program's.
nlohmann::json to_json(const Diagnosis& diagnosis, const std::string& version);

}  // namespace thermoe::doctor
