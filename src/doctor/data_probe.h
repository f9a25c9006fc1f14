// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "doctor/finding.h"
#include "doctor/host_system.h"

namespace thermoe::doctor {

/// data.model, data.experiments, data.costs and data.text in the machine's folder, and runs
/// (whether a run may write there).
Section probe_data(const HostSystem& machine);

/// browser: a Chromium, which only the report's own test needs.
Section probe_test_tools(const HostSystem& machine);

}  // namespace thermoe::doctor
