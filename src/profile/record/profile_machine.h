// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/clock.h"
#include "kernels/backend.h"
#include "profile/ops/op_work.h"
#include "profile/record/energy_windows.h"
#include "profile/record/op_record.h"
#include "profile/record/op_timer.h"
#include "telemetry/source.h"

namespace thermoe {

/// What a profile runs on.
struct ProfileMachine {
  ProfileFacts facts{};
  Backend backend = Backend::kCpu;
  std::vector<std::string> notes{};  ///< what is done without, and why
  /// A point, ready to be executed; the one before may be gone.
  std::function<OpWork(const OpPoint&)> make{};
  std::function<SustainedWork(OpWork)> sustain{};
  std::unique_ptr<OpTimer> timer{};   ///< let go of before energy is measured: it costs time
  std::unique_ptr<Source> sensors{};  ///< of the device, with its energy counter
};

struct ProfileMachineOptions {
  Backend backend = Backend::kCpu;
  std::uint64_t seed = 1;
  bool use_cupti = true;       ///< false under another profiler, which needs it for itself
  std::string cupti{};         ///< its library; empty: where it usually is
  std::string nvml_library{};  ///< empty: the driver's
};

/// The host, or the current CUDA device. `clock` must outlive it. Throws UsageError where the
/// backend cannot run here.
ProfileMachine open_profile_machine(const ProfileMachineOptions& options, const Clock& clock);

}  // namespace thermoe
