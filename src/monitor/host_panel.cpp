// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <utility>

#include "monitor/panels.h"
#include "monitor/reading_words.h"

namespace thermoe {

void add_host(Page& page, const std::vector<HostReading>& host,
              const std::optional<Seconds>& stale_for, Detail detail) {
  if (host.empty()) return;
  const bool brief = detail == Detail::kCompact || detail == Detail::kLine;
  Item title = {{"host", Style::kBold}};
  if (stale_for) title.push_back({fmt::format("  stale {}", seconds(*stale_for)), Style::kBad});
  std::vector<Item> items;
  for (const HostReading& sensor : host) {
    Item item = {{sensor.name + " ", Style::kDim}};
    std::string words;
    if (sensor.power.value) words = fmt::format("{:.1f} W", sensor.power.value->value);
    if (sensor.temperature.value) {
      words += (words.empty() ? "" : " ") + degrees(*sensor.temperature.value);
    }
    // Where lines are short, a domain's power counts more than a disk's temperature.
    if (brief && !sensor.power.value) continue;
    item.push_back(words.empty() ? Span{"–", Style::kDim} : Span{.text = words});
    items.push_back(std::move(item));
  }
  if (brief) {
    items.insert(items.begin(), std::move(title));
    page.flow(std::move(items));
    return;
  }
  page.flow({std::move(title)});
  page.flow(std::move(items), 2);
}

}  // namespace thermoe
