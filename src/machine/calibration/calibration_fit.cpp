// SPDX-License-Identifier: Apache-2.0
#include "machine/calibration/calibration_fit.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "core/errors.h"

namespace thermoe {
namespace {

/// The windows of one variant and D, and sums over them with x = 1 / spacing.
struct Work {
  std::vector<const CalibrationLevel*> levels{};
  double x = 0, xx = 0, p = 0, xp = 0;

  void add(const CalibrationLevel& level) {
    levels.push_back(&level);
    const double rate = 1.0 / level.spacing.value;
    x += rate, xx += rate * rate, p += level.power.value, xp += rate * level.power.value;
  }
  /// Best E for a given idle.
  double energy(double idle) const { return (xp - idle * x) / xx; }
};
using Works = std::map<std::pair<int, int>, Work>;  // by variant and D as planned

/// Idle power that leaves the least squares when every E(D) is the best for it: the sum over all
/// windows of P - idle - E / spacing is 0.
double fit_idle(const Works& works) {
  double power = 0.0, windows = 0.0, all = 0.0;
  for (const auto& [key, work] : works) {
    const auto n = static_cast<double>(work.levels.size());
    power += work.p - work.x * work.xp / work.xx;
    windows += n - work.x * work.x / work.xx;
    all += n;
  }
  if (windows < 0.01 * all) {
    throw Error(
        "calibration: steps came at one rate whatever the period, so that idle power and the "
        "work's cannot be told apart; see that nothing else works on the GPU, or calibrate for a "
        "longer step period");
  }
  return power / windows;
}

CalibratedStep step_of(const Work& work, int variant, double idle, Seconds period) {
  CalibratedStep step{.variant = variant};
  std::vector<double> energies;
  for (const CalibrationLevel* level : work.levels) {
    if (level->window.period != period) continue;
    step.active += level->active;
    step.latency += level->step_time;
    step.spread += level->step_spread;
    step.power += level->power;
    step.steps += level->steps;
    energies.push_back((level->power.value - idle) * level->spacing.value);
  }
  const auto n = static_cast<double>(energies.size());
  THERMOE_EXPECT(n > 0, "no window of D={} at a period of {} s", work.levels[0]->window.active,
                 period.value);
  const auto [least, most] = std::ranges::minmax(energies);
  double sum = 0.0;
  for (const double e : energies) sum += e;
  step.active /= n, step.latency *= 1.0 / n, step.spread /= n, step.power *= 1.0 / n;
  step.energy = Joules(sum / n);
  if (!(step.energy > Joules(0.0))) {
    throw Error(fmt::format(
        "calibration: D={} would take {:.3f} J a step above an idle power of {:.1f} W, which "
        "cannot be; see that nothing else works on the GPU, and calibrate again",
        work.levels[0]->window.active, step.energy.value, idle));
  }
  step.energy_spread = (most - least) / (2.0 * step.energy.value);
  return step;
}

void add_residuals(CalibrationFit& fit, const Works& works) {
  double squares = 0.0, windows = 0.0;
  for (const auto& [key, work] : works) {
    const double energy = work.energy(fit.idle_active.value);
    for (const CalibrationLevel* level : work.levels) {
      const double fitted = fit.idle_active.value + energy / level->spacing.value;
      const double off = std::abs(level->power.value - fitted);
      squares += off * off, windows += 1.0;
      fit.residual_max = std::max(fit.residual_max, Watts(off));
    }
  }
  fit.residual_rms = Watts(std::sqrt(squares / windows));
}

}  // namespace

CalibrationFit fit_calibration(std::span<const CalibrationLevel> levels, Seconds period) {
  Works works;
  CalibrationFit fit;
  int rests = 0;
  for (const CalibrationLevel& level : levels) {
    if (level.window.idle()) {
      fit.idle_cold += level.power, ++rests;
    } else {
      works[{level.window.variant, level.window.active}].add(level);
    }
  }
  THERMOE_EXPECT(rests > 0 && !works.empty(), "{} rests and {} kinds of work: need both", rests,
                 works.size());
  fit.idle_cold *= 1.0 / rests;
  fit.idle_active = Watts(fit_idle(works));
  if (!(fit.idle_active > Watts(0.0))) {
    throw Error(fmt::format(
        "calibration: the windows give an idle power of {:.1f} W, which cannot be; see that "
        "nothing else works on the GPU, and calibrate again",
        fit.idle_active.value));
  }
  for (const auto& [key, work] : works) {
    fit.steps.push_back(step_of(work, key.first, fit.idle_active.value, period));
  }
  add_residuals(fit, works);
  return fit;
}

}  // namespace thermoe
