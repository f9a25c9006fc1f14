// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "control/controller_config.h"
#include "control/demand.h"

namespace thermoe {

/// One way to route, by the cost model, on the calibration samples: what it would ask of the
/// hardware and take from the model. Predicted, not measured.
struct RoutingOption {
  double lambda = 0.0;
  int k = 0;         ///< experts a token takes
  int keep = 0;      ///< k0 of OPPORTUNISTIC; 0: another rule
  Demand demand{};   ///< of a step
  Seconds period{};  ///< between two steps: the rate's, or the step's own time where that is longer
  Watts power{};     ///< mean, idle included
};

/// Activation pricing at `points` + 1 levels: lambda = 0 (plain top-k), then the least lambda that
/// leaves at most an even share of the distance down to what the k_min best experts need, which is
/// the last. Levels that no lambda tells apart are given once. Requires calibration samples.
std::vector<RoutingOption> price_options(const ControllerConfig& config, int points);

/// The rival: plain top-k with k, k - 1, ... 1. Requires calibration samples.
std::vector<RoutingOption> fewer_expert_options(const ControllerConfig& config);

/// The stronger rival: each token keeps its k0 = k, k - 1, ... 1 best experts and fills up to k
/// from what the batch keeps. Requires calibration samples.
std::vector<RoutingOption> opportunistic_options(const ControllerConfig& config);

/// What `calibrate` chose, seen the same way.
RoutingOption option_at(const ControllerConfig& config, double lambda, const Demand& demand);

}  // namespace thermoe
