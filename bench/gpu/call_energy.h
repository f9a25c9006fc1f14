// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "graph_chain.h"
#include "run_rows.h"

namespace thermoe::bench {

/// Joules of a call by the GPU's energy counter, all of the board's: replays the chain without a
/// pause, and counts between two moments at which the counter was seen to move, at least `window`
/// apart. Nothing where there is no counter, or it stands still.
std::optional<CallEnergy> call_energy(const GraphChain& chain, Seconds window, GpuMeter& meter,
                                      Stream stream);

}  // namespace thermoe::bench
