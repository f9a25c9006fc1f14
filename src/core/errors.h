// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>

namespace thermoe {

/// Base of every error that the library throws. `what()` is a sentence fit for a user.
class Error : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The caller broke a documented precondition (THERMOE_EXPECT).
class PreconditionError final : public Error {
  using Error::Error;
};

/// What a user gave cannot be used: a flag, a missing file, a combination. The CLI exits with 2.
class UsageError : public Error {
  using Error::Error;
};

/// A file is not what it should be. The message reads "path: key: problem (remedy)". Exit code 2.
class FormatError final : public UsageError {
 public:
  /// `key` is a JSON pointer, a CSV column and line or a tensor name; empty for the file as a
  /// whole. `problem` says what was found and what would be right.
  FormatError(std::string path, std::string key, const std::string& problem)
      : UsageError(key.empty() ? fmt::format("{}: {}", path, problem)
                               : fmt::format("{}: {}: {}", path, key, problem)),
        path_(std::move(path)),
        key_(std::move(key)) {}

  const std::string& path() const { return path_; }
  const std::string& key() const { return key_; }

 private:
  std::string path_;
  std::string key_;
};

/// The device is gone or its telemetry cannot be read.
class TelemetryError final : public Error {
  using Error::Error;
};

/// A file could not be written (full disk, permissions). Exit code 1.
class WriteError final : public Error {
  using Error::Error;
};

}  // namespace thermoe

/// Checks a precondition, always on: THERMOE_EXPECT(k <= experts, "k={} exceeds experts={}", k,
/// experts).
#define THERMOE_EXPECT(condition, ...)                                              \
  do {                                                                              \
    if (!(condition)) throw ::thermoe::PreconditionError(fmt::format(__VA_ARGS__)); \
  } while (false)
