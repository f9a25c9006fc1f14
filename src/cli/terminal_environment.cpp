// SPDX-License-Identifier: Apache-2.0
#include "cli/terminal_environment.h"

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <string>

namespace thermoe {
namespace {

std::string_view environment(const char* name) {
  return environment_variable(name).value_or(std::string_view());
}

}  // namespace

std::optional<std::string_view> environment_variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::nullopt : std::optional<std::string_view>(value);
}

bool speaks_utf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    std::string value(environment(name));
    if (value.empty()) continue;
    std::ranges::transform(value, value.begin(), [](unsigned char c) { return std::tolower(c); });
    return value.find("utf-8") != std::string::npos || value.find("utf8") != std::string::npos;
  }
  return false;
}

bool output_is_terminal() {
  const std::string_view term = environment("TERM");
  return ::isatty(STDOUT_FILENO) == 1 && !term.empty() && term != "dumb";
}

bool output_has_colour() { return output_is_terminal() && environment("NO_COLOR").empty(); }

}  // namespace thermoe
