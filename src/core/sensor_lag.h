// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "core/units.h"

namespace thermoe {

/// How power sensors lag behind the work, as a controller believes (docs/theory.md section 5).
struct SensorLag {
  Seconds delay{0.1};               ///< from the work to the reading that shows it
  Seconds window{0.025};            ///< the reading is the mean over this much time
  std::optional<Seconds> period{};  ///< from one new reading to the next, where measured
  bool operator==(const SensorLag&) const = default;
};

}  // namespace thermoe
