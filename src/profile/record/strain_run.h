// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "profile/record/energy_windows.h"

namespace thermoe {

/// Works at this point in short bursts between rests, and then for `length` less their time without
/// a pause, as hard as it can: bursts show how sensors lag and what an execution takes while the
/// board has power to spare, the rest what it takes at the board's limit, if it comes that far.
/// Nothing if it was stopped. Throws TelemetryError for a device that says no power or no limit.
std::optional<StrainRecord> measure_strain(const OpPoint& point, Seconds length,
                                           const EnergyBench& bench);

}  // namespace thermoe
