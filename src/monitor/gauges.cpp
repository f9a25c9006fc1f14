// SPDX-License-Identifier: Apache-2.0
#include "monitor/gauges.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>
#include <vector>

namespace thermoe {
namespace {

constexpr std::array<std::string_view, 8> kBlocks = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
constexpr std::array<std::string_view, 8> kLetters = {"_", ".", "-", ":", "=", "+", "*", "#"};
// Between two readings of a slow poll the last one holds.
constexpr Seconds kHolds{1.5};

bool recent(const Series::Sample& sample, Seconds now) {
  return sample.at >= now - Series::kWindow && sample.at <= now;
}

/// The largest value in each column's stretch of time. Stretches stand on multiples of their
/// length, so that a bar does not change its shape as it wanders to the left.
std::vector<std::optional<double>> columns(const Series& series, Seconds now, int width) {
  const Seconds stretch = Series::kWindow / width;
  const double newest = std::floor(now / stretch);
  std::vector<std::optional<double>> highest(static_cast<std::size_t>(width));
  std::vector<std::optional<double>> held = highest;
  for (const Series::Sample& sample : series.samples()) {
    if (!recent(sample, now)) continue;
    const double back = newest - std::floor(sample.at / stretch);
    if (back < 0.0 || back >= width) continue;
    const auto i = static_cast<std::size_t>(width - 1 - static_cast<int>(back));
    highest[i] = std::max(highest[i].value_or(sample.value), sample.value);
    const auto reach = stretch < kHolds ? static_cast<std::size_t>(std::ceil(kHolds / stretch)) : 0;
    for (std::size_t j = i + 1; j <= std::min(i + reach, highest.size() - 1); ++j) {
      held[j] = sample.value;
    }
  }
  for (std::size_t i = 0; i < highest.size(); ++i) {
    if (!highest[i]) highest[i] = held[i];
  }
  return highest;
}

}  // namespace

std::string bar(double share, int width, bool unicode) {
  const int inner = std::max(0, unicode ? width : width - 2);
  const double part = std::isfinite(share) ? std::clamp(share, 0.0, 1.0) : 0.0;
  const int full = static_cast<int>(std::lround(part * inner));
  std::string text;
  for (int i = 0; i < inner; ++i) {
    text += i < full ? (unicode ? "█" : "#") : (unicode ? "░" : "-");
  }
  return unicode ? text : "[" + text + "]";
}

std::optional<Extent> extent(const Series& series, Seconds now) {
  std::optional<Extent> found;
  for (const Series::Sample& sample : series.samples()) {
    if (!recent(sample, now)) continue;
    if (!found) found = Extent{.low = sample.value, .high = sample.value};
    found->low = std::min(found->low, sample.value);
    found->high = std::max(found->high, sample.value);
  }
  return found;
}

std::vector<std::string> sparklines(const Series& series, Seconds now, int width, int height,
                                    double least_span, bool unicode) {
  std::vector<std::string> lines(static_cast<std::size_t>(std::max(height, 0)));
  if (width <= 0) return lines;
  const auto range = extent(series, now).value_or(Extent{});
  const double span = std::max(range.high - range.low, least_span);
  const auto& signs = unicode ? kBlocks : kLetters;
  const int steps = 8 * height;
  for (const auto& value : columns(series, now, width)) {
    const double level = value && span > 0.0 ? (*value - range.low) / span : 0.0;
    // The lowest value is one step high: it was read, and is no gap.
    const int full = value ? 1 + std::min(static_cast<int>(level * steps), steps - 1) : 0;
    for (int line = 0; line < height; ++line) {
      const int here = std::clamp(full - 8 * (height - 1 - line), 0, 8);
      auto& text = lines[static_cast<std::size_t>(line)];
      text += here == 0 ? " " : signs[static_cast<std::size_t>(here - 1)];
    }
  }
  return lines;
}

}  // namespace thermoe
