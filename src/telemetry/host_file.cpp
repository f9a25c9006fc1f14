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

constexpr std::size_t kLongest = 1U << 20U;

/// Gone, or a sensor that sleeps: nothing that anybody should mend.
bool means_absent(int error) {
  return error == ENOENT || error == ENOTDIR || error == ENODEV || error == ENXIO ||
         error == ENODATA || error == EAGAIN;
}

}  // namespace

HostFileText read_host_file(const std::string& path) {
  // By hand and not with a stream: a stream does not say what went wrong.
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) return {.error = errno};
  std::string text;
  std::array<char, 4096> buffer;  // sysfs gives an attribute in one read
  int error = 0;
  while (text.size() < kLongest) {
    const ssize_t size = read(file, buffer.data(), buffer.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) error = errno;
    if (size <= 0) break;
    text.append(buffer.data(), static_cast<std::size_t>(size));
  }
  close(file);
  if (error != 0) return {.error = error};
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
