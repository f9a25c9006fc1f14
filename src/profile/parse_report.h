// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "profile/parsed_profile.h"

namespace thermoe {

/// Hands on, piece by piece, what `thermoe parse --json` prints (docs/parse.md), a line a record:
/// as one tree, a profile of many names would take more memory than its parsing. What is absent is
/// null.
void write_json(const ParsedProfile& profile, const std::function<void(std::string_view)>& write);

/// The same as a file, whole or not at all. Throws WriteError.
void write_json_file(const ParsedProfile& profile, const std::string& path);

/// The same for people: the records that take longest, at most `most` of each list, and what is
/// missing with what that costs.
std::string to_text(const ParsedProfile& profile, std::size_t most);

}  // namespace thermoe
