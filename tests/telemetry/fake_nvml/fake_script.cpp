// SPDX-License-Identifier: Apache-2.0
#include "fake_script.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string_view>
#include <utility>

namespace thermoe::fake {
namespace {

using Named = std::pair<std::string_view, nvml::Result>;
constexpr std::array kCodes{
    Named{"success", nvml::kSuccess},
    Named{"uninitialized", nvml::kUninitialized},
    Named{"invalid_argument", nvml::kInvalidArgument},
    Named{"not_supported", nvml::kNotSupported},
    Named{"no_permission", nvml::kNoPermission},
    Named{"not_found", nvml::kNotFound},
    Named{"insufficient_size", nvml::kInsufficientSize},
    Named{"driver_not_loaded", nvml::kDriverNotLoaded},
    Named{"timeout", nvml::kTimeout},
    Named{"lost", nvml::kGpuIsLost},
    Named{"reset_required", nvml::kResetRequired},
    Named{"library_mismatch", nvml::kLibraryMismatch},
    Named{"unknown", nvml::kUnknown},
};

constexpr std::array<std::string_view, 5> kKeys{"driver", "nvml", "cuda", "init", "gpus"};
constexpr std::array<std::string_view, 20> kGpuKeys{"name",
                                                    "uuid",
                                                    "temperature",
                                                    "memory_temperature",
                                                    "power_usage",
                                                    "power_average",
                                                    "power_instant",
                                                    "power_limit",
                                                    "energy",
                                                    "power_limit_min",
                                                    "power_limit_max",
                                                    "gpu_utilisation",
                                                    "sm_clock",
                                                    "memory_clock",
                                                    "memory_utilisation",
                                                    "throttle_reasons",
                                                    "state",
                                                    "memory_total",
                                                    "compute_capability",
                                                    "processes"};

std::string trimmed(const std::string& text) {
  const auto space = [](unsigned char c) { return std::isspace(c) != 0; };
  const auto first = std::ranges::find_if_not(text, space);
  const auto last = std::find_if_not(text.rbegin(), std::make_reverse_iterator(first), space);
  return {first, last.base()};
}

bool known(const std::string& key) {
  if (std::ranges::find(kKeys, key) != kKeys.end()) return true;
  if (key.starts_with("fail.nvml") || key.starts_with("hang.nvml")) return true;
  const auto dot = key.find('.');
  if (!key.starts_with("gpu") || dot == std::string::npos) return false;
  const bool index = std::all_of(key.begin() + 3, key.begin() + static_cast<std::ptrdiff_t>(dot),
                                 [](unsigned char c) { return std::isdigit(c) != 0; });
  return index && std::ranges::find(kGpuKeys, key.substr(dot + 1)) != kGpuKeys.end();
}

}  // namespace

void refuse(const std::string& problem) {
  std::fprintf(stderr, "fake NVML: %s\n", problem.c_str());
  std::abort();
}

std::optional<nvml::Result> code_named(const std::string& text) {
  const auto found = std::ranges::find(kCodes, text, &Named::first);
  if (found != kCodes.end()) return found->second;
  return std::nullopt;
}

Script Script::now() {
  Script script;
  const char* path = std::getenv("THERMOE_FAKE_NVML");
  if (path == nullptr) return script;
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    line = trimmed(line.substr(0, line.find('#')));
    if (line.empty()) continue;
    const auto equals = line.find('=');
    const std::string key = trimmed(line.substr(0, equals));
    if (equals == std::string::npos || !known(key)) refuse("cannot read the line '" + line + "'");
    script.values_[key] = trimmed(line.substr(equals + 1));
  }
  return script;
}

std::string Script::text(const std::string& key, const std::string& otherwise) const {
  const auto found = values_.find(key);
  return found == values_.end() ? otherwise : found->second;
}

std::string Script::gpu_text(int index, const std::string& key,
                             const std::string& otherwise) const {
  return text("gpu" + std::to_string(index) + "." + key, text("gpu." + key, otherwise));
}

double Script::number(const std::string& key, double otherwise) const {
  const std::string value = text(key, "");
  if (value.empty()) return otherwise;
  char* end = nullptr;
  const double parsed = std::strtod(value.c_str(), &end);
  if (*end != '\0') refuse(key + " = " + value + " is no number");
  return parsed;
}

nvml::Result Script::code(const std::string& key) const {
  const std::string value = text(key, "success");
  if (const auto code = code_named(value)) return *code;
  return static_cast<nvml::Result>(static_cast<int>(number(key, 0)));
}

}  // namespace thermoe::fake
