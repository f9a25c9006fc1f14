// SPDX-License-Identifier: Apache-2.0
#include "cli/out_file.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "core/errors.h"

namespace thermoe {

void check_out_file(const std::string& out) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  const fs::path folder = fs::path(out).parent_path();
  if (!folder.empty() && !fs::is_directory(folder, ignored)) {
    throw UsageError(fmt::format("--out {0}: there is no folder {1}; make it (mkdir -p {1})", out,
                                 folder.string()));
  }
  if (fs::is_directory(out, ignored)) {
    throw UsageError(fmt::format("--out {}: is a folder; name a file", out));
  }
  // Through these, a file of ours would take the place of another's: of a log, of a terminal.
  const std::string full = fs::absolute(out, ignored).lexically_normal().string();
  const bool special = full.starts_with("/dev/") && !full.starts_with("/dev/shm/");
  if (special || full.starts_with("/proc/") ||
      (fs::exists(out, ignored) && !fs::is_regular_file(out, ignored))) {
    throw UsageError(fmt::format("--out {}: is no file of its own; name one", out));
  }
  const fs::path target = fs::weakly_canonical(out, ignored);  // a link is followed
  std::string probe = (target.parent_path() / ".thermoe_XXXXXX").string();
  const int fd = ::mkstemp(probe.data());
  if (fd < 0) {
    throw UsageError(fmt::format("--out {}: its folder cannot be written to: {}", out,
                                 std::generic_category().message(errno)));
  }
  ::close(fd);
  ::unlink(probe.c_str());
}

}  // namespace thermoe
