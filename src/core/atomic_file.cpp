// SPDX-License-Identifier: Apache-2.0
#include "core/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "core/errors.h"

namespace thermoe {
namespace {

/// Writes everything or returns the errno that stopped it.
int write_all(int fd, std::string_view content) {
  while (!content.empty()) {
    const ssize_t n = ::write(fd, content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    content.remove_prefix(static_cast<std::size_t>(n));
  }
  return ::fsync(fd) == 0 ? 0 : errno;
}

/// Where a link leads: the file is replaced, the link stays. Renaming over a device would replace
/// the device for everybody, so only files are.
std::string regular_target(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::path target =
      fs::is_symlink(path, error) ? fs::weakly_canonical(path, error) : fs::path(path);
  const fs::file_status status = fs::status(target, error);
  if (fs::exists(status) && !fs::is_regular_file(status)) {
    throw WriteError(fmt::format("{}: cannot be written: it is {}; name a file", path,
                                 fs::is_directory(status) ? "a folder" : "no regular file"));
  }
  return target.string();
}

}  // namespace

void write_file_atomically(const std::string& given, std::string_view content) {
  const std::string path = regular_target(given);
  const std::string temporary = fmt::format("{}.{}.tmp", path, ::getpid());
  const int fd = ::open(temporary.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
  if (fd < 0) {
    throw WriteError(fmt::format("{}: cannot be written: {}", path, std::strerror(errno)));
  }
  int error = write_all(fd, content);
  if (::close(fd) != 0 && error == 0) error = errno;
  if (error == 0 && std::rename(temporary.c_str(), path.c_str()) != 0) error = errno;
  if (error != 0) {
    ::unlink(temporary.c_str());
    throw WriteError(fmt::format("{}: cannot be written: {}", path, std::strerror(error)));
  }
}

}  // namespace thermoe
