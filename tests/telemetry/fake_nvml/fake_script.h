// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>

#include "telemetry/nvml_api.h"

namespace thermoe::fake {

/// The script of fake_nvml.h, parsed: one moment of the play.
class Script {
 public:
  /// What the file named by THERMOE_FAKE_NVML says now; empty without one. Aborts on what it cannot
  /// read, naming the line.
  static Script now();

  /// The value of `key`, or `otherwise`.
  std::string text(const std::string& key, const std::string& otherwise) const;
  /// The value of gpu<index>.<key>, else gpu.<key>, else `otherwise`.
  std::string gpu_text(int index, const std::string& key, const std::string& otherwise) const;
  double number(const std::string& key, double otherwise) const;
  /// The code that `key` names; success without it.
  nvml::Result code(const std::string& key) const;

 private:
  std::map<std::string, std::string> values_;
};

/// "not_supported" or "3"; nullopt if it is no code's name.
std::optional<nvml::Result> code_named(const std::string& text);
/// Prints `problem` and aborts: the test is wrong.
[[noreturn]] void refuse(const std::string& problem);

}  // namespace thermoe::fake
