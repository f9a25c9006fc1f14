// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/units.h"
#include "kernels/backend.h"

namespace thermoe {

/// Keeps a stream of the current CUDA device busy for so long, with one thread: what follows can be
/// queued meanwhile, so that it runs without waiting for the host. It waits for nobody, so that a
/// profiler that runs kernels one at a time is not stopped by it. Requires 0..1 s.
void hold_stream(Seconds time, Stream stream);

}  // namespace thermoe
