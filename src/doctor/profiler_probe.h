// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "doctor/finding.h"
#include "doctor/host_system.h"

namespace thermoe::doctor {

/// nsys, nsys.sqlite (whether it can export to SQLite), ncu, gpu.counters (permission for
/// performance counters) and perf_event (permission for nsys to sample the CPU).
Section probe_profilers(const HostSystem& machine);

}  // namespace thermoe::doctor
