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
  // Of an engine whose requests arrive (core/serving.h): mean time between two tokens of a
  // sequence, and from a request's arrival to its first token.
  std::optional<Seconds> between_tokens{};
  std::optional<Seconds> to_first_token{};

  bool any() const { return power || temperature || step_time; }
};

}  // namespace thermoe
