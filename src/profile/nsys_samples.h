// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "profile/gpu_samples.h"
#include "profile/sqlite_file.h"

namespace thermoe {

/// Power and temperature that an export holds among its GPU_METRICS, by the kernels' deviceId. What
/// is there but cannot be used (no unit in its name, a GPU that no kernel can be told to run on) is
/// left out and said in `missing`.
SamplesByDevice read_nsys_samples(const SqliteFile& file, std::vector<std::string>& missing);

/// The same from a recording made beside the profiled run. Throws FormatError for the recording.
SamplesByDevice read_nsys_recording(const SqliteFile& file, const std::string& recording,
                                    std::vector<std::string>& missing);

}  // namespace thermoe
