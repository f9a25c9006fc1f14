// SPDX-License-Identifier: Apache-2.0
#include "core/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <random>
#include <system_error>

#include "core/errors.h"
#include "core/write_all.h"

namespace thermoe {
namespace {

std::string message_of(int error) { return std::generic_category().message(error); }

/// Writes everything to the disk or returns the errno that stopped it.
int write_through(int fd, std::string_view content) {
  if (const int error = write_all(fd, content); error != 0) return error;
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

/// A new file beside `path` that nobody else writes: a process id tells neither threads nor
/// containers that share a folder apart. Its mode is that of the file it will replace, or what the
/// umask leaves. Returns the descriptor, or minus an errno.
int open_temporary(const std::string& path, std::string& temporary) {
  struct stat old {};
  const bool replaces = ::stat(path.c_str(), &old) == 0;
  const mode_t mode = replaces ? old.st_mode & 0777U : 0666U;
  std::random_device random;
  for (int attempt = 0; attempt < 100; ++attempt) {
    temporary = fmt::format("{}.{:08x}.tmp", path, random());
    const int fd = ::open(temporary.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, mode);
    if (fd < 0 && errno == EEXIST) continue;
    if (fd < 0) return -errno;
    // Past the umask. Filesystems without modes refuse, and need none.
    if (replaces) static_cast<void>(::fchmod(fd, mode));
    return fd;
  }
  return -EEXIST;
}

/// Returns 0 or an errno; 0 too where the filesystem cannot sync folders or the folder must not be
/// read: the file is whole all the same.
int sync_folder(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  const int fd = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return errno == EACCES || errno == EPERM ? 0 : errno;
  const int error = ::fsync(fd) == 0 ? 0 : errno;
  ::close(fd);
  const bool cannot = error == EINVAL || error == ENOTSUP || error == ENOSYS || error == EBADF;
  return cannot ? 0 : error;
}

}  // namespace

void write_file_atomically(const std::string& given, std::string_view content) {
  const std::string path = regular_target(given);
  std::string temporary;
  const int fd = open_temporary(path, temporary);
  if (fd < 0) throw WriteError(fmt::format("{}: cannot be written: {}", path, message_of(-fd)));
  int error = write_through(fd, content);
  if (::close(fd) != 0 && error == 0) error = errno;
  if (error == 0 && std::rename(temporary.c_str(), path.c_str()) != 0) error = errno;
  if (error != 0) {
    ::unlink(temporary.c_str());
    throw WriteError(fmt::format("{}: cannot be written: {}", path, message_of(error)));
  }
  sync_name(path);
}

void sync_name(const std::string& path) {
  if (const int failed = sync_folder(path); failed != 0) {
    throw WriteError(fmt::format("{}: is written, but its folder cannot be synced: {}", path,
                                 message_of(failed)));
  }
}

}  // namespace thermoe
