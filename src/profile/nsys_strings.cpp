// SPDX-License-Identifier: Apache-2.0
#include "profile/nsys_strings.h"

namespace thermoe {

std::unordered_map<std::int64_t, std::string> nsys_strings(
    const SqliteFile& file, const std::unordered_set<std::int64_t>& ids) {
  std::unordered_map<std::int64_t, std::string> texts;
  if (ids.empty() || !file.has_table("StringIds")) return texts;
  SqliteRows rows = file.rows("StringIds", {{"id"}, {"value"}});
  while (texts.size() < ids.size() && rows.next()) {
    const std::int64_t id = rows.integer(0);
    if (!ids.contains(id)) continue;
    if (const auto text = rows.text(1)) texts.try_emplace(id, *text);
  }
  return texts;
}

}  // namespace thermoe
