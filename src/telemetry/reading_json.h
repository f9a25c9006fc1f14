// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "core/snapshot.h"

namespace thermoe {

/// Which GPU or host sensor it is, and what it says: by the names, and with the digits, of a
/// recording's columns (trace_columns.h); what is absent is null.
nlohmann::ordered_json reading_json(const GpuReading& gpu);
nlohmann::ordered_json reading_json(const HostReading& host);

}  // namespace thermoe
