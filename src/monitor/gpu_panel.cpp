// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/terminal_text.h"
#include "monitor/gauges.h"
#include "monitor/panels.h"
#include "monitor/reading_words.h"
#include "monitor/throttle_reasons.h"
#include "telemetry/gpu_reading_fields.h"

namespace thermoe {
namespace {

constexpr int kIndent = 2;
constexpr double kNearLimit = 0.9;
constexpr double kViolation = 1.05;  // as runs count it (docs/experiments.md)
// H100's slowdown begins above 85 °C; an orientation, the driver's own thresholds vary.
constexpr Celsius kWarm{75.0};
constexpr Celsius kHot{85.0};
constexpr Seconds kFrozen{5.0};

Style heat(const Reading<Celsius>& reading) {
  if (!reading.value || *reading.value < kWarm) return Style::kPlain;
  return *reading.value < kHot ? Style::kWarning : Style::kBad;
}

bool silent(const GpuReading& gpu) {
  bool none = true;
  for_each_reading(gpu, gpu,
                   [&](const auto& reading, const auto&) { none = none && !reading.value; });
  return none;
}

/// When anything of this GPU was last read; 0 = never.
Seconds last_read(const GpuReading& gpu) {
  Seconds last{};
  for_each_reading(
      gpu, gpu, [&](const auto& reading, const auto&) { last = std::max(last, reading.read_at); });
  return last;
}

/// What is amiss with the GPU as a whole.
Item state(const GpuView& gpu) {
  if (gpu.stale_for) return {{fmt::format("stale {}", seconds(*gpu.stale_for)), Style::kBad}};
  if (!silent(gpu.reading)) return {};
  const Seconds last = last_read(gpu.reading);
  if (last == Seconds(0)) return {{"no readings", Style::kBad}};
  return {{fmt::format("lost, last answered {} ago", seconds(gpu.now - last)), Style::kBad}};
}

std::optional<Watts> power_now(const GpuReading& gpu) {
  return gpu.power_instant.value ? gpu.power_instant.value : gpu.power_average.value;
}

/// What power stands against, and what that is called.
std::pair<std::optional<Watts>, const char*> bound(const GpuView& gpu) {
  if (gpu.cap) return {gpu.cap, "cap"};
  return {gpu.reading.power_limit.value, "limit"};
}

/// A run holds its cap by routing, and counts beyond 1.05 of it; a limit is the driver's to hold.
Style load(double share, bool cap) {
  if (cap) return share <= kViolation ? Style::kGood : Style::kBad;
  if (share < kNearLimit) return Style::kGood;
  return share < 1.0 ? Style::kWarning : Style::kBad;
}

Item power_bar(const GpuView& gpu, const Terminal& terminal) {
  const auto [most, word] = bound(gpu);
  if (!most || *most <= Watts(0)) return {{"limit ", Style::kDim}, {"–", Style::kDim}};
  const std::string of = fmt::format("of {:.0f} W {}", most->value, word);
  // A cap is on the 1 s mean.
  const auto now = gpu.cap && gpu.reading.power_average.value ? gpu.reading.power_average.value
                                                              : power_now(gpu.reading);
  if (!now) return {{of}};
  const double share = *now / *most;
  const std::string words = fmt::format(" {:3.0f} % {}", 100.0 * share, of);
  // Beside both numbers where there is room, on a line of its own otherwise.
  const int beside = terminal.columns - kIndent - 36 - display_width(words);
  const int alone = terminal.columns - kIndent - display_width(words);
  const int width = std::clamp(beside >= 12 ? beside : alone, 6, 60);
  return {{bar(share, width, terminal.unicode), load(share, gpu.cap.has_value())}, {words}};
}

Item instant_power(const GpuView& gpu) {
  const auto& reading = gpu.reading.power_instant;
  Item item = labelled("power", reading, gpu.now, watts, Style::kBold);
  // A sensor in milliwatts that repeats itself for seconds is frozen, or was never live.
  if (reading.value && !gpu.stale_for && reading.changed_at > Seconds(0) &&
      reading.unchanged_for(gpu.now) > kFrozen) {
    item.push_back({fmt::format(" (unchanged {:.0f} s)", reading.unchanged_for(gpu.now).value),
                    Style::kWarning});
  }
  return item;
}

std::vector<Item> clocks(const GpuView& gpu) {
  const GpuReading& r = gpu.reading;
  std::vector<Item> items = {labelled("SM", r.sm_clock, gpu.now, megahertz),
                             labelled("memory", r.memory_clock, gpu.now, megahertz)};
  if (!r.throttle_reasons.value) {
    items.push_back({{"clocks limited by –", Style::kDim}});
    return items;
  }
  const auto reasons = throttle_reasons(*r.throttle_reasons.value);
  if (reasons.empty()) items.push_back({{"clocks not limited", Style::kGood}});
  for (std::size_t i = 0; i < reasons.size(); ++i) {
    Item item;
    if (i == 0) item.push_back({"clocks limited by ", Style::kDim});
    item.push_back({reasons[i].words + (i + 1 < reasons.size() ? "," : ""),
                    reasons[i].harmful ? Style::kWarning : Style::kPlain});
    items.push_back(std::move(item));
  }
  return items;
}

/// What matters, the most telling first.
std::vector<Item> essence(const GpuView& gpu) {
  const GpuReading& r = gpu.reading;
  const auto [most, word] = bound(gpu);
  const auto now = power_now(r);
  Item power = {{now ? fmt::format("{:.0f} W", now->value) : "– W"}};
  if (most) power.push_back({fmt::format(" of {:.0f} W {}", most->value, word), Style::kDim});
  std::vector<Item> items = {{{gpu.label, Style::kBold}},
                             state(gpu),
                             std::move(power),
                             labelled("die", r.temperature, gpu.now, degrees, heat(r.temperature)),
                             labelled("util", r.gpu_utilisation, gpu.now, percent),
                             labelled("SM", r.sm_clock, gpu.now, megahertz)};
  if (r.throttle_reasons.value) {
    for (const ThrottleReason& reason : throttle_reasons(*r.throttle_reasons.value)) {
      items.push_back({{reason.words, reason.harmful ? Style::kWarning : Style::kPlain}});
    }
  }
  return items;
}

/// The items as one, so that they stay on one line.
Item joined(const std::vector<Item>& items) {
  Item line;
  for (const Item& item : items) {
    if (item.empty()) continue;
    if (!line.empty()) line.push_back({.text = "  "});
    line.insert(line.end(), item.begin(), item.end());
  }
  return line;
}

}  // namespace

void add_gpu(Page& page, const GpuView& gpu, Detail detail) {
  if (detail == Detail::kLine) return page.flow({joined(essence(gpu))});
  if (detail == Detail::kCompact) return page.flow(essence(gpu));
  const GpuReading& r = gpu.reading;
  page.flow({{{gpu.label, Style::kBold}}, {{r.name}}, state(gpu)});
  page.flow({instant_power(gpu), labelled("average", r.power_average, gpu.now, watts),
             power_bar(gpu, page.terminal())},
            kIndent);
  page.flow({labelled("die", r.temperature, gpu.now, degrees, heat(r.temperature)),
             labelled("memory", r.memory_temperature, gpu.now, degrees, heat(r.memory_temperature)),
             labelled("util", r.gpu_utilisation, gpu.now, percent),
             labelled("memory util", r.memory_utilisation, gpu.now, percent)},
            kIndent);
  page.flow(clocks(gpu), kIndent);
  // One reading makes no trend (--once).
  if (!shows_trends(detail) || gpu.power.samples().size() < 2) return;
  add_trends(page,
             {.label = "power",
              .series = gpu.power,
              .now = gpu.now,
              .least_span = 20.0,
              .unit = "W",
              .decimals = 0},
             {.label = "die",
              .series = gpu.temperature,
              .now = gpu.now,
              .least_span = 5.0,
              .unit = "°C",
              .decimals = 0},
             detail);
}

}  // namespace thermoe
