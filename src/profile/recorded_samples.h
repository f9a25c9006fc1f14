// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "profile/gpu_samples.h"

namespace thermoe {

/// One GPU of a recording.
struct RecordedGpu {
  std::string uuid{};  ///< without the driver's "GPU-"; empty where the recording has none
  GpuSamples samples{};
};

/// Power and temperature that `thermoe monitor --csv` recorded beside a profiled run, by NVML's
/// index, at ns after `zero_utc_ns`. Time of day is the recording's own clock, which never steps,
/// moved by what its stamps differ from it in the median. Power is the instant one where there is
/// one. Throws FormatError for a file that is no such recording, or one of simulated hardware.
std::map<std::int64_t, RecordedGpu> read_recorded_samples(const std::string& path,
                                                          std::int64_t zero_utc_ns);

/// "2026-11-23T06:42:21.935Z" in ns since 1970; absent for what is none.
std::optional<std::int64_t> utc_ns(std::string_view text);

}  // namespace thermoe
