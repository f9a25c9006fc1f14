// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/snapshot.h"

namespace thermoe {

/// The GPU whose power and temperature a controller holds, and a run logs: the first that the
/// snapshot has, or null where it has none. The one place that says which. Over several GPUs,
/// step time would be the largest, energy the sum.
inline const GpuReading* controlled_gpu(const Snapshot& snapshot) {
  return snapshot.gpus.empty() ? nullptr : &snapshot.gpus.front();
}

}  // namespace thermoe
