// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/doctor/finding.h"
#include "cli/doctor/machine.h"

namespace thermoe::doctor {

/// data.model, data.experiments, data.costs and data.text in the machine's folder, and runs
/// (whether a run may write there).
Section probe_data(const Machine& machine);

/// browser: a Chromium, which only the report's own test needs.
Section probe_test_tools(const Machine& machine);

}  // namespace thermoe::doctor
