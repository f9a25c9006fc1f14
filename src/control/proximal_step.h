// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "control/hardware_term.h"

namespace thermoe {

/// argmax over b of <n, b - old b> - sum M (b - old b)^2 / 2 - F*(b) (docs/theory.md eq. (26)),
/// with the caps lowered by `slack` [resources]; the multipliers of `old` are where it starts.
/// n, M > 0: [cells].
HardwarePrices proximal_step(const HardwareTerm& term, const HardwarePrices& old,
                             std::span<const double> load, std::span<const double> metric,
                             std::span<const double> slack);

}  // namespace thermoe
