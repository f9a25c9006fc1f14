// SPDX-License-Identifier: Apache-2.0
#include "core/turn_name.h"

#include <fmt/format.h>

#include <charconv>
#include <system_error>

namespace thermoe {
namespace {

constexpr std::string_view kMark = " #";

}  // namespace

std::string to_string(const TurnName& turn) {
  return turn.round == 1 ? turn.strategy : fmt::format("{}{}{}", turn.strategy, kMark, turn.round);
}

TurnName turn_named(std::string_view name) {
  if (const auto at = name.rfind(kMark); at != std::string_view::npos) {
    const char* const end = name.data() + name.size();
    int round = 0;
    const auto [rest, error] = std::from_chars(name.data() + at + kMark.size(), end, round);
    if (error == std::errc() && rest == end && round > 1) {
      return {.strategy = std::string(name.substr(0, at)), .round = round};
    }
  }
  return {.strategy = std::string(name)};
}

}  // namespace thermoe
