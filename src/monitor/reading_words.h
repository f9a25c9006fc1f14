// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <string>

#include "core/snapshot.h"
#include "monitor/page.h"

namespace thermoe {

/// Why a reading has no value, as far as it is known: " (impossible value)", " (last read 2.3 s
/// ago)"; empty if it never had one.
template <class T>
std::string why_absent(const Reading<T>& reading, Seconds now) {
  if (reading.rejected) return " (impossible value)";
  // A sensor that answered before is in trouble; one that never did is just not there.
  if (reading.read_at > Seconds(0) && reading.age(now) > Seconds(1)) {
    return fmt::format(" (last read {:.1f} s ago)", reading.age(now).value);
  }
  return "";
}

/// The reading after its label: "die 55 °C", "die –".
template <class T, class Format>
Item labelled(const std::string& label, const Reading<T>& reading, Seconds now, Format&& words,
              Style style = Style::kPlain) {
  Item item;
  if (!label.empty()) item.push_back({.text = label + " ", .style = Style::kDim});
  if (reading.value) {
    item.push_back({.text = words(*reading.value), .style = style});
  } else {
    item.push_back({.text = "–" + why_absent(reading, now), .style = Style::kDim});
  }
  return item;
}

inline std::string watts(Watts power) { return fmt::format("{:5.1f} W", power.value); }
inline std::string degrees(Celsius temperature) {
  return fmt::format("{:.0f} °C", temperature.value);
}
inline std::string percent(double share) { return fmt::format("{:3.0f} %", 100.0 * share); }
inline std::string megahertz(Megahertz clock) { return fmt::format("{:.0f} MHz", clock.value); }
inline std::string seconds(Seconds time) { return fmt::format("{:.1f} s", time.value); }

}  // namespace thermoe
