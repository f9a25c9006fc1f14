// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "control/controller.h"

namespace thermoe {

/// A strategy's turn on the machine.
struct Turn {
  int round = 0;  ///< from 0
  Strategy strategy{};
  /// "BASELINE", and "BASELINE #2" in the second round.
  std::string name() const;
  bool operator==(const Turn&) const = default;
};

/// Every strategy once a round, so that a machine which drifts drifts under all of them alike. The
/// first round has the order given, but BASELINE first, as the others are compared with what it
/// predicted; each further one an order of its own, drawn with the seed. More rounds leave those
/// before them as they are. Requires rounds >= 1.
std::vector<Turn> schedule(int rounds, const std::vector<Strategy>& strategies, std::uint64_t seed);

}  // namespace thermoe
