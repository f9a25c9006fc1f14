// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace thermoe {

/// A strategy's turn on the machine, as table and files name it.
struct TurnName {
  std::string strategy{};
  int round = 1;
};

/// "BASELINE", and "BASELINE #2" in the second round.
std::string to_string(const TurnName& turn);

/// What to_string() made it of; any other name is that of a strategy in the first round.
TurnName turn_named(std::string_view name);

}  // namespace thermoe
