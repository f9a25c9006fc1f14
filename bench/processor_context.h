// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <benchmark/benchmark.h>

#include <fstream>
#include <string>

namespace thermoe::bench {

/// The value behind `key` in the first block of /proc/cpuinfo; "unknown" where there is none.
inline std::string cpu_info(const std::string& key) {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const auto colon = line.find(": ");
    if (colon != std::string::npos && line.rfind(key, 0) == 0) return line.substr(colon + 2);
  }
  return "unknown";
}

/// What the JSON says that the figures are of.
inline void add_processor_context() {
  benchmark::AddCustomContext("cpu_model", cpu_info("model name"));
  benchmark::AddCustomContext(
      "cpu_family_model_stepping",
      cpu_info("cpu family") + "/" + cpu_info("model\t") + "/" + cpu_info("stepping"));
  benchmark::AddCustomContext("cpu_mhz_at_start", cpu_info("cpu MHz"));
  benchmark::AddCustomContext("compiler", "gcc " __VERSION__);
}

}  // namespace thermoe::bench
