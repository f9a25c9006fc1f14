// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "core/units.h"

namespace thermoe {

/// Caps to hold with the least loss of quality; absent ones are not held.
struct Targets {
  std::optional<Watts> power{};
  std::optional<Celsius> temperature{};
  std::optional<Seconds> step_time{};

  bool any() const { return power || temperature || step_time; }
};

}  // namespace thermoe
