// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace thermoe {

/// Writes `content` beside `path`, syncs it and renames it over `path`: readers see the old file or
/// the whole new one, never half. A link is followed. Throws WriteError (full disk, permissions, a
/// device or folder instead of a file) and leaves no debris.
void write_file_atomically(const std::string& path, std::string_view content);

}  // namespace thermoe
