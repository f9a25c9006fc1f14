// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "control/controller_config.h"
#include "control/demand.h"

namespace thermoe {

/// What STATIC_OPTIMAL freezes.
struct Calibration {
  PricingParameters parameters{};
  double lambda = 0.0;
  bool reached = true;  ///< the targets can be met at the undisturbed reference state
  Demand demand{};      ///< on the calibration samples
};

/// Searches b, lambda and k_min for the plan that meets the targets on the calibration samples, by
/// the cost model at the reference state (no tenant, no residual), with the most kept mass. Without
/// samples: b = 0, lambda = 0, the config's k_min. Deterministic.
Calibration calibrate(const ControllerConfig& config);

/// Where requests arrive: the same config for the steps that the calibration samples are, at one
/// period: the target on time between tokens, else a step's own time under BASELINE. Else as it is.
ControllerConfig at_reference(const ControllerConfig& config);

/// The rows of `samples`, in their order, in samples of so many tokens each; rows left over are
/// left out. Of fewer rows: one sample of all. Requires samples of one shape but for their tokens.
std::vector<LogitSample> in_batches_of(int tokens, std::span<const LogitSample> samples);

/// Whether a step of this cost meets the targets at the undisturbed reference state.
bool meets_at_reference(const ControllerConfig& config, const Cost& cost);

}  // namespace thermoe
