// SPDX-License-Identifier: Apache-2.0
#include "control/period_rule.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace thermoe {
namespace {

/// From `from` on by the factor, and `to` itself.
std::vector<Seconds> periods(const PeriodRange& range, double factor) {
  if (range.to <= range.from || range.from <= Seconds(0)) return {range.to};
  std::vector<Seconds> all;
  for (Seconds p = range.from; p < range.to; p *= factor) all.push_back(p);
  all.push_back(range.to);
  return all;
}

}  // namespace

PeriodChoice period_that_saves(const PeriodRange& range, const SteadyAt& steady) {
  const std::vector<Seconds> all = periods(range, 1.1);
  PeriodChoice chosen{all.front(), PeriodLimit::kSaving, steady(all.front())};
  for (const Seconds p : all) {
    const SteadyState at = steady(p);
    const double longer = std::log(p / chosen.period);
    const double saved = std::log(chosen.steady.power / at.power);
    if (longer > 0.0 && saved >= kLeastSaving * longer) chosen = {p, PeriodLimit::kSaving, at};
  }
  if (chosen.period == range.to) chosen.limit = range.limit;
  return chosen;
}

PeriodChoice period_that_meets(const PeriodRange& range, const SteadyAt& steady) {
  PeriodChoice coolest;
  for (const Seconds p : periods(range, 1.02)) {
    const SteadyState at = steady(p);
    if (at.meets)
      return {p,
              p == range.to     ? range.limit
              : p == range.from ? PeriodLimit::kStepTime
                                : PeriodLimit::kCap,
              at};
    if (coolest.period <= Seconds(0) || at.power < coolest.steady.power)
      coolest = {p, p == range.to ? range.limit : PeriodLimit::kSaving, at};
  }
  return coolest;
}

}  // namespace thermoe
