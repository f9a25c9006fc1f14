// SPDX-License-Identifier: Apache-2.0
#include "machine/tenant/duty_calibration.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "core/errors.h"

namespace thermoe {
namespace {

constexpr int kMostProbes = 5;
constexpr double kTolerance = 0.01;  // of what is wanted; nor is the counter better than ...
constexpr Watts kResolution{1.0};
constexpr double kNearlyAll = 0.98;  // of what is wanted will do where there is no more
constexpr double kLeastDuty = 1e-3;

struct Probe {
  double duty = 0.0;
  Watts added{};
};

/// The next duty to try: on the line through the nearest probes on either side, or through the last
/// one and nothing added by nothing.
double next_duty(const Probe& below, const std::optional<Probe>& above, Watts wanted) {
  if (above) {
    const double share = (wanted - below.added) / (above->added - below.added);
    return below.duty + share * (above->duty - below.duty);
  }
  // No more than fourfold at once: what a small duty adds may be lost in the noise.
  const double factor = below.added > Watts(0) ? std::min(4.0, wanted / below.added) : 4.0;
  return std::min(1.0, below.duty * factor);
}

[[noreturn]] void refuse(double fraction, const DutyCalibration& found, Watts most) {
  const double share = std::max(0.0, most / (found.limit - found.idle));
  throw UsageError(fmt::format(
      "--power-fraction {:g}: is {:.0f} W above the {:.0f} W of the idle GPU (limit {:.0f} W), but "
      "without a pause the load adds only {:.0f} W; give {:.2f} or less",
      fraction, found.wanted.value, found.idle.value, found.limit.value, most.value,
      std::floor(100.0 * share) / 100.0));
}

}  // namespace

DutyCalibration calibrate_duty(double fraction, Watts limit, const PowerAtDuty& power,
                               const CalibrationLengths& lengths) {
  THERMOE_EXPECT(fraction > 0.0 && fraction <= 1.0, "fraction={} is not in (0, 1]", fraction);
  DutyCalibration found{.idle = power(0.0, lengths.sure), .limit = limit};
  if (found.idle >= limit) {
    throw UsageError(
        fmt::format("the GPU draws {:.0f} W before the load begins, and its limit is {:.0f} W; end "
                    "what else runs on it",
                    found.idle.value, limit.value));
  }
  found.wanted = fraction * (limit - found.idle);
  const Watts tolerance = std::max(kTolerance * found.wanted, kResolution);
  Probe below{};
  std::optional<Probe> above{};
  found.duty = fraction;  // full work comes near the limit
  for (int i = 0; i < kMostProbes; ++i) {
    const Probe probe{.duty = found.duty, .added = power(found.duty, lengths.probe) - found.idle};
    if (probe.duty >= 1.0 && probe.added < kNearlyAll * found.wanted) {
      refuse(fraction, found, probe.added);
    }
    const Watts over = probe.added - found.wanted;
    if (std::abs(over.value) <= tolerance.value) break;
    if (over > Watts(0)) {
      above = probe;
    } else {
      below = probe;
    }
    if (probe.duty >= 1.0 && over <= Watts(0)) break;  // nearly all, and there is no more
    found.duty = std::clamp(next_duty(below, above, found.wanted), kLeastDuty, 1.0);
  }
  found.added = power(found.duty, lengths.sure) - found.idle;
  return found;
}

}  // namespace thermoe
