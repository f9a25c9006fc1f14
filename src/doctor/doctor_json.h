// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "doctor/diagnosis.h"

namespace thermoe::doctor {

/// One JSON document for programs; docs/doctor.md says what each member is. `version` is the
/// program's.
std::string to_json(const Diagnosis& diagnosis, const std::string& version);

}  // namespace thermoe::doctor
