// SPDX-License-Identifier: Apache-2.0
#include "profile/ncu_ranges.h"

#include "profile/parse_options.h"

namespace thermoe {
namespace {

/// Payload and colour by type and value, message by type and text.
constexpr int kTrailingFields = 6;

NcuRange range_of(std::string_view item) {
  const std::size_t colon = item.find(':');
  std::string_view domain = item.substr(0, colon);
  std::string_view name = colon == std::string_view::npos ? "" : item.substr(colon + 1);
  for (int i = 0; i < kTrailingFields; ++i) {
    const std::size_t last = name.rfind(':');
    if (last == std::string_view::npos) break;
    name = name.substr(0, last);
  }
  const bool unnamed = domain == "<default domain>" || domain == "Default_Domain";
  return {.domain = std::string(unnamed ? kDefaultDomain : domain), .name = std::string(name)};
}

}  // namespace

std::vector<NcuRange> ncu_ranges(std::string_view cell) {
  std::vector<NcuRange> ranges;
  for (;;) {
    const std::size_t open = cell.find('"');
    if (open == std::string_view::npos) return ranges;
    const std::size_t close = cell.find('"', open + 1);
    if (close == std::string_view::npos) return ranges;
    ranges.push_back(range_of(cell.substr(open + 1, close - open - 1)));
    cell.remove_prefix(close + 1);
  }
}

}  // namespace thermoe
