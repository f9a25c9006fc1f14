// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "core/snapshot.h"
#include "telemetry/nvml_gpu.h"
#include "telemetry/nvml_session.h"

namespace thermoe::bench {

/// The current CUDA device as NVML tells of it.
class GpuMeter {
 public:
  GpuMeter();

  /// Why there are no readings; nothing where there are.
  const std::optional<std::string>& problem() const { return problem_; }
  /// Readings are absent where there is a problem. The energy counter takes some 4 ms.
  GpuReading read(bool with_energy);
  /// Empty where NVML does not say.
  std::string driver() const { return session_.driver_version(); }

 private:
  NvmlSession session_;
  std::optional<NvmlGpu> gpu_{};
  std::optional<std::string> problem_{};
};

}  // namespace thermoe::bench
