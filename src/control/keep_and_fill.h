// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "control/pricing.h"

namespace thermoe {

/// What OPPORTUNISTIC routes of a sample (RoutingPlan::set_opportunistic): each token keeps its
/// floor(keep) best experts, a share keep - floor(keep) of the tokens one more, spread evenly, and
/// fills up to k from what its layer's batch keeps. Requires 1 <= keep <= k of the sample.
RoutingStats keep_and_fill(const PricedSample& sample, double keep);

}  // namespace thermoe
