// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "core/snapshot.h"
#include "telemetry/nvml_session.h"

namespace thermoe {

/// What is asked of a GPU, each on its own terms: chips and drivers lack different ones.
enum class NvmlQuestion : std::size_t {
  kTemperature,
  kMemoryTemperature,
  kPowerAverage,
  kPowerInstant,
  kPowerUsage,  ///< stands in for kPowerAverage or kPowerInstant where the driver lacks the fields
  kPowerLimit,
  kEnergy,
  kUtilisation,
  kSmClock,
  kMemoryClock,
  kThrottleReasons,
  kCount,
};

/// One GPU during one session. Remembers what NVML refused and does not ask that again.
class NvmlGpu {
 public:
  /// `session` must outlive it.
  NvmlGpu(const NvmlSession& session, nvml::Device device);

  /// "GPU-..."; where NVML tells none, the PCI bus id; empty if it tells neither.
  const std::string& uuid() const { return uuid_; }
  const std::string& name() const { return name_; }

  /// Asks everything once (tens of microseconds to milliseconds), the energy counter only
  /// `with_energy`. Values are as NVML gives them (plausibility.h judges them). All readings are
  /// absent once the GPU is lost.
  GpuReading read(bool with_energy);

  /// Set once NVML says that the GPU is gone: only a new session can bring it back.
  std::optional<nvml::Result> lost() const { return lost_; }
  /// NVML's last answer; kFunctionNotFound where the library lacks the function, empty if never
  /// asked.
  std::optional<nvml::Result> answer(NvmlQuestion question) const;

 private:
  void identify();
  template <class Function, class Call>
  bool ask(NvmlQuestion question, Function function, Call call);
  bool note(NvmlQuestion question, nvml::Result result);
  bool refused(NvmlQuestion question) const;
  void read_fields(GpuReading& reading);
  void read_power_usage(GpuReading& reading);
  void read_clocks(GpuReading& reading);
  void read_rest(GpuReading& reading);

  const NvmlSession& session_;
  nvml::Device device_;
  std::string uuid_{};
  std::string name_{};
  /// Whether nvmlDeviceGetPowerUsage is a 1 s average (else instant); empty: unknown chip.
  std::optional<bool> usage_is_average_{};
  std::array<std::optional<nvml::Result>, static_cast<std::size_t>(NvmlQuestion::kCount)>
      answers_{};
  std::optional<nvml::Result> lost_{};
};

}  // namespace thermoe
