// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace thermoe {

/// Writes `content` beside `path`, syncs it, renames it over `path` and syncs the folder: readers
/// see the old file or the whole new one, never half, also after a crash and with several writers
/// at once (the last one wins). The mode is that of the file that is replaced, or what the umask
/// leaves of 0666. A link is followed. Throws WriteError (full disk, permissions, a device or
/// folder instead of a file) and leaves no debris.
void write_file_atomically(const std::string& path, std::string_view content);

/// Makes the name of a file or folder survive a crash by syncing the folder that holds it, where
/// the filesystem can. Throws WriteError.
void sync_name(const std::string& path);

}  // namespace thermoe
