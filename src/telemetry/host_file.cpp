// SPDX-License-Identifier: Apache-2.0
#include "telemetry/host_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <system_error>

namespace thermoe {
namespace {

/// Gone, or a sensor that sleeps: nothing that anybody should mend.
bool means_absent(int error) {
  return error == ENOENT || error == ENOTDIR || error == ENODEV || error == ENXIO ||
         error == ENODATA || error == EAGAIN;
}

}  // namespace

HostFileText read_host_file(const std::string& path) {
  // By hand and not with a stream: a stream does not say what went wrong.
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return {.error = errno};
  std::array<char, 256> buffer{};  // sysfs gives an attribute of this kind in one read
  const ssize_t size = read(file, buffer.data(), buffer.size());
  const int error = errno;
  close(file);
  if (size < 0) return {.error = error};
  std::string text(buffer.data(), static_cast<std::size_t>(size));
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return {.text = std::move(text)};
}

HostFileNumber read_host_number(const std::string& path) {
  const HostFileText file = read_host_file(path);
  if (!file.text) {
    if (means_absent(file.error)) return {};
    return {.problem = std::error_code(file.error, std::generic_category()).message(),
            .permission = file.error == EACCES || file.error == EPERM};
  }
  long long number = 0;
  const char* end = file.text->data() + file.text->size();
  const auto [rest, error] = std::from_chars(file.text->data(), end, number);
  if (error != std::errc() || rest != end) {
    return {.problem = fmt::format("holds \"{}\", which is no whole number", *file.text)};
  }
  return {.number = number};
}

}  // namespace thermoe
