// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "core/controller_state.h"
#include "core/units.h"

namespace thermoe {

/// Where an engine settles under a step period and BASELINE, by model (theory.md eq. (46)): means.
struct SteadyState {
  double batch = 0.0;
  Seconds step_time{};
  Seconds gap{};  ///< from one step's start to the next
  Watts power{};
  bool meets = true;  ///< the caps on hardware
};

/// What a period may be: from a step's own time to the longest that latency and batch allow.
struct PeriodRange {
  Seconds from{};
  Seconds to{};                               ///< may be below `from`: there is no choice then
  PeriodLimit limit = PeriodLimit::kLatency;  ///< that `to` comes from
};

struct PeriodChoice {
  Seconds period{};
  PeriodLimit limit = PeriodLimit::kSaving;
  SteadyState steady{};
};

/// Modelled watts have to fall by this share of what a period grows by, both as logarithms: 1 % a
/// tenth of the period.
inline constexpr double kLeastSaving = 0.1;

using SteadyAt = std::function<SteadyState(Seconds period)>;

/// The period first, as it costs no quality: the longest, in steps of a tenth, for which watts fall
/// by `kLeastSaving` from the longest before it that was worth it. An engine's graphs pad rows, so
/// that watts rise where the batch outgrows one; what lies beyond may be worth it again.
PeriodChoice period_that_saves(const PeriodRange& range, const SteadyAt& steady);

/// The shortest under which the caps are met without a price; of those that do not, the one that
/// draws least.
PeriodChoice period_that_meets(const PeriodRange& range, const SteadyAt& steady);

}  // namespace thermoe
