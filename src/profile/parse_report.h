// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "profile/parsed_profile.h"

namespace thermoe {

/// What `thermoe parse --json` prints (docs/parse.md). What is absent is null.
nlohmann::ordered_json to_json(const ParsedProfile& profile);

/// The same for people: the records that take longest, at most `most` of each list, and what is
/// missing with what that costs.
std::string to_text(const ParsedProfile& profile, std::size_t most);

}  // namespace thermoe
