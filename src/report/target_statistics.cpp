// SPDX-License-Identifier: Apache-2.0
#include "report/target_statistics.h"

#include <algorithm>
#include <cmath>

#include "core/errors.h"

namespace thermoe {
namespace {

std::size_t ticks_in(Seconds time, Seconds tick) {
  return static_cast<std::size_t>(std::max(1.0, std::round(time / tick)));
}

}  // namespace

MovingMean::MovingMean(Seconds window, Seconds tick) : length_(ticks_in(window, tick)) {
  THERMOE_EXPECT(tick > Seconds(0) && tick <= window, "tick {} s must be within (0, {}] s",
                 tick.value, window.value);
}

double MovingMean::add(double value) {
  values_.push_back(value);
  if (values_.size() > length_) values_.pop_front();
  double sum = 0.0;
  std::size_t known = 0;
  for (const double v : values_) {
    if (std::isnan(v)) continue;
    sum += v;
    ++known;
  }
  return known > 0 ? sum / static_cast<double>(known) : value;
}

std::vector<double> moving_mean(std::span<const double> signal, Seconds window, Seconds tick) {
  MovingMean mean(window, tick);
  std::vector<double> out;
  out.reserve(signal.size());
  for (const double value : signal) out.push_back(mean.add(value));
  return out;
}

std::optional<double> share_above(std::span<const double> signal, double limit) {
  const auto known =
      std::count_if(signal.begin(), signal.end(), [](double v) { return !std::isnan(v); });
  if (known == 0) return std::nullopt;
  const auto above =
      std::count_if(signal.begin(), signal.end(), [&](double v) { return v > limit; });
  return static_cast<double>(above) / static_cast<double>(known);
}

std::optional<Seconds> settling_time(std::span<const double> signal, Seconds tick, double low,
                                     double high, Seconds start, Seconds hold) {
  const std::size_t needed = ticks_in(hold, tick);
  std::size_t held = 0;
  // Only ticks that lie wholly after the start count.
  const auto first = static_cast<std::size_t>(std::max(0.0, std::round(start / tick)));
  for (std::size_t i = first; i < signal.size(); ++i) {
    held = signal[i] >= low && signal[i] <= high ? held + 1 : 0;
    if (held < needed) continue;
    const auto entered = static_cast<double>(i + 1 - needed);  // start of the first good tick
    return Seconds(std::max(0.0, entered * tick.value - start.value));
  }
  return std::nullopt;
}

std::optional<double> percentile(std::vector<Weighted> values, double p) {
  THERMOE_EXPECT(p > 0 && p <= 1, "percentile {} must be within (0, 1]", p);
  double total = 0.0;
  for (const Weighted& v : values) total += v.weight;
  if (!(total > 0)) return std::nullopt;
  std::sort(values.begin(), values.end(),
            [](const Weighted& a, const Weighted& b) { return a.value < b.value; });
  double seen = 0.0;
  for (const Weighted& v : values) {
    seen += v.weight;
    if (seen >= p * total * (1 - 1e-12)) return v.value;
  }
  return values.back().value;
}

}  // namespace thermoe
