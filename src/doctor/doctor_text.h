// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

#include "doctor/diagnosis.h"

namespace thermoe::doctor {

struct TextStyle {
  std::size_t width = 80;  ///< characters a line; from 40 on everything is readable
  bool colour = false;
  bool unicode = true;  ///< otherwise ASCII only
};

/// For people: sections, findings with what they enable and the remedy, and at the end what can be
/// done here and now.
std::string to_text(const Diagnosis& diagnosis, const TextStyle& style);

/// "simulated runs and CPU kernels: yes (AVX-512 path); live GPU telemetry: no (NVML missing)".
std::string summary_line(const Diagnosis& diagnosis);

}  // namespace thermoe::doctor
