// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/clock.h"
#include "profile/ops/op_work.h"
#include "profile/record/energy_windows.h"

namespace thermoe {

/// On the calling thread. `clock` must outlive it.
SustainedWork sustained_on_host(OpWork work, const Clock& clock);

/// On the current CUDA device: executions captured one after another into a graph that is replayed,
/// so that the device never waits for the host. Throws CudaError.
SustainedWork sustained_on_device(OpWork work);

}  // namespace thermoe
